use assay_primitives::encoding;

use crate::{AttestedKey, Check, Claims, EvidenceKind, Refusal};

/// What a verifier itself knows of evidence.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expectation {
    /// The nonce that was sent: Nitro's `nonce`, a GPU's nonce, a TPM's `extraData`, the nonce of a
    /// key's binding. TDX, SGX and SNP have user's data instead.
    pub nonce: Option<Vec<u8>>,
    /// The user's data that were to be signed: `report_data`, Nitro's `user_data`, a TPM's
    /// `extraData`, a GPU's nonce.
    pub user_data: Option<Vec<u8>>,
}

impl Expectation {
    /// Compares evidence with what is known of it.
    ///
    /// # Errors
    /// Names the first value that differs.
    pub fn check(&self, claims: &Claims) -> Result<(), Refusal> {
        let nonce = match claims.kind {
            EvidenceKind::Nitro => &claims.nonce,
            _ => &claims.user_data,
        };
        self.compare(nonce.as_ref(), claims)
    }

    /// Compares the attestation of a key with what is known of it.
    ///
    /// # Errors
    /// Names the first value that differs.
    pub fn check_key(&self, key: &AttestedKey) -> Result<(), Refusal> {
        self.compare(key.binding().nonce.as_ref(), key.attested())
    }

    fn compare(&self, nonce: Option<&Vec<u8>>, claims: &Claims) -> Result<(), Refusal> {
        same(Check::BindingNonce, self.nonce.as_ref(), nonce)?;
        same(Check::BindingUserData, self.user_data.as_ref(), claims.user_data.as_ref())
    }
}

fn same(check: Check, expected: Option<&Vec<u8>>, got: Option<&Vec<u8>>) -> Result<(), Refusal> {
    let Some(expected) = expected else { return Ok(()) };
    if got == Some(expected) {
        return Ok(());
    }
    let got = got.map_or_else(|| "none".to_owned(), |got| encoding::hex(got));
    Err(Refusal::new(check, encoding::hex(expected), got))
}
