//! Who may see and erase a transaction's contents: who holds its access token, and its payer.

use assay_chain::Address;
use assay_primitives::{AccessToken, Timestamp};
use assay_store::TransactionRow;
use assay_x402::{
    CheckedSignIn, FacilitatorError, SignIn, SignInRefusal, SignInScope, SignatureCheck,
    SpentSignIns, check_sign_in,
};
use tokio::sync::Semaphore;

use crate::{ReceiptError, Service};

/// How many contract wallets are asked at a time: anybody can have one asked.
const WALLETS: usize = 8;

/// What somebody shows to see or erase contents.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// The transaction's access token.
    Token(&'a AccessToken),
    /// A fresh signature of the transaction's payer. A payment that is sent again is none.
    Payer {
        /// The signature, and what was signed.
        sign_in: &'a SignIn,
        /// Host and port of this server, by its own word.
        domain: &'a str,
        /// The receipt's address here, by this server's own word.
        uri: &'a str,
    },
}

/// Sign-ins that were used, and wallets that are asked.
#[derive(Debug)]
pub(crate) struct SignIns {
    spent: SpentSignIns,
    wallets: Semaphore,
}

impl SignIns {
    pub(crate) fn since(now: Timestamp) -> Self {
        Self { spent: SpentSignIns::since(now), wallets: Semaphore::new(WALLETS) }
    }
}

impl Service {
    /// Lets through who may see a transaction's contents, for a purpose if one has to be signed.
    pub(crate) async fn authorize(
        &self,
        row: &TransactionRow,
        access: &Access<'_>,
        statement: Option<&str>,
    ) -> Result<(), ReceiptError> {
        let (sign_in, domain, uri) = match access {
            // Hashes of secrets: how long the comparison takes tells nothing of a token.
            Access::Token(token) if token.hash() == row.access_token_hash => return Ok(()),
            Access::Token(_) => return Err(ReceiptError::Token),
            Access::Payer { sign_in, domain, uri } => (sign_in, domain, uri),
        };
        let address: Address = row.payer.as_str().parse().map_err(|_| {
            ReceiptError::Damaged(format!("payer {}: expected an EVM address", row.payer))
        })?;
        let scope = SignInScope { domain, uri, network: &row.network, address, statement };
        let now = self.parts().clock.now();
        let checked = check_sign_in(sign_in, &scope, now)?;
        if checked.signature_check() == SignatureCheck::NeedsChain {
            self.ask_wallet(row, &checked).await?;
        }
        Ok(self.sign_ins.spent.spend(&checked, now)?)
    }

    async fn ask_wallet(
        &self,
        row: &TransactionRow,
        checked: &CheckedSignIn,
    ) -> Result<(), ReceiptError> {
        let Ok(_place) = self.sign_ins.wallets.try_acquire() else {
            return Err(SignInRefusal::TooMany { limit: WALLETS }.into());
        };
        let (wallet, hash, signature) =
            (checked.address(), checked.hash(), checked.signature().clone());
        let facilitator = &self.parts().facilitator;
        match facilitator.is_wallet_signature(&row.network, wallet, hash, signature).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(checked.not_by_wallet().into()),
            Err(FacilitatorError::Unreachable { detail }) => Err(ReceiptError::Chain(detail)),
            Err(error) => Err(ReceiptError::Wallet(error)),
        }
    }
}
