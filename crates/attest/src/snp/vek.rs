//! The certificate of the key that signs reports: a VCEK's or a VLEK's, by the extensions that AMD
//! 57230 defines. They are optional to X.509, so that nothing but this looks at them.

use assay_primitives::encoding::hex;
use assay_primitives::printable;
use der::asn1::{Ia5StringRef, OctetStringRef};
use der::oid::ObjectIdentifier;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::product::{Product, TcbVersion};
use super::report::SigningKey;
use crate::refusal::Checks;
use crate::{Check, Refusal};

const STRUCT_VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.1");
const PRODUCT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.2");
/// The versions of the TCB's components are below it.
const SPL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3");
const HWID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");
const CSP_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.5");

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// A certificate of a VEK.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vek<'a> {
    pub(super) certificate: &'a Certificate,
    pub(super) checks: Checks,
}

impl<'a> Vek<'a> {
    /// Checks that its extensions are laid out as they are known here: 0, and 1 since Turin.
    pub(super) fn check_version(self) -> Result<(), Refusal> {
        let version = self.value(STRUCT_VERSION)?.map(|value| version(STRUCT_VERSION, value));
        let version = version.transpose()?;
        let got = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
        let holds = matches!(version, Some(0 | 1));
        let expected = format!("0 or 1 in extension {STRUCT_VERSION}");
        self.checks.require(Check::ChainEncoding, holds, expected, got)
    }

    /// Checks that it is of the kind of key that the report names, on the curve that it names.
    pub(super) fn check_key(self, key: SigningKey) -> Result<(), Refusal> {
        self.check_name(self.certificate, key.as_str())?;
        let algorithm = &self.certificate.tbs_certificate().subject_public_key_info().algorithm;
        let curve = algorithm.parameters.as_ref();
        let curve = curve.and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
        let is_p384 = algorithm.oid == EC_PUBLIC_KEY && curve == Some(SECP384R1);
        let got = curve.map_or_else(|| algorithm.oid.to_string(), |curve| curve.to_string());
        self.checks.require(Check::EvidenceAlgorithm, is_p384, "a key on P-384", got)
    }

    /// Checks that the other certificates are those of the product: AMD has an ARK for each, and below
    /// it one CA for VCEKs and one for VLEKs.
    pub(super) fn check_issuers(
        self,
        key: SigningKey,
        product: Product,
        [ca, root]: [&Certificate; 2],
    ) -> Result<(), Refusal> {
        let expected = match key {
            SigningKey::Vcek => format!("SEV-{product}"),
            SigningKey::Vlek => format!("SEV-VLEK-{product}"),
        };
        self.check_name(ca, &expected)?;
        self.check_name(root, &format!("ARK-{product}"))
    }

    /// Returns the product that the certificate names.
    pub(super) fn product(self) -> Result<Product, Refusal> {
        let expected = "a product name of Milan, Genoa or Turin";
        let refused = |got: &str| Refusal::new(Check::ChainPlatform, expected, got);
        let name = self.text(PRODUCT_NAME)?.ok_or_else(|| refused("none"))?;
        Product::of_name(name).ok_or_else(|| refused(name))
    }

    /// Checks that a VCEK is of the chip. A chip id that the host masks is refused: it is zero, and AMD
    /// gives out certificates by chip ids that are not.
    pub(super) fn check_chip(self, chip_id: &[u8], product: Product) -> Result<(), Refusal> {
        let chip_id = chip_id.get(..product.chip_id_len()).unwrap_or_default();
        let hwid = self.octets(HWID, chip_id.len())?;
        let got = hwid.map_or_else(|| "none".to_owned(), hex);
        let is_masked = chip_id.iter().all(|byte| *byte == 0);
        let holds = hwid == Some(chip_id) && !is_masked;
        let expected = format!("hwID {} of the report's chip_id", hex(chip_id));
        self.checks.require(Check::ChainPlatform, holds, expected, got)?;
        let is_vlek = self.value(CSP_ID)?.is_some();
        self.checks.require(Check::ChainPlatform, !is_vlek, "a VCEK without csp_id", "csp_id")
    }

    /// Returns the cloud provider that a VLEK is of. It is of no chip: what `chip_id` says beside it is
    /// the firmware's word alone, and may be zero.
    pub(super) fn provider(self) -> Result<String, Refusal> {
        let has_hwid = self.value(HWID)?.is_some();
        self.checks.require(Check::ChainPlatform, !has_hwid, "a VLEK without hwID", "hwID")?;
        let provider = self.text(CSP_ID)?;
        let holds = provider.is_some();
        self.checks.require(Check::ChainPlatform, holds, "a VLEK with csp_id", "none")?;
        Ok(printable(provider.unwrap_or_default(), 64))
    }

    /// Checks that the key was derived for the TCB that is reported, component by component.
    pub(super) fn check_tcb(self, reported: TcbVersion) -> Result<(), Refusal> {
        let mut spls = self.spls()?;
        for (component, version) in reported.components() {
            let at = spls.iter().position(|(arc, _)| *arc == component.arc());
            let got = at.map(|at| spls.swap_remove(at).1);
            let name = component.as_str();
            let expected = format!("{name} {version}, as the report has, in extension {SPL}");
            let shown = got.map_or_else(|| "none".to_owned(), |got| got.to_string());
            let holds = got == Some(version);
            self.checks.require(Check::ChainTcb, holds, expected, format!("{name} {shown}"))?;
        }
        let Some((arc, version)) = spls.first() else { return Ok(()) };
        let expected = "no component but those of the product";
        let got = format!("{version} in extension {SPL}.{arc}");
        self.checks.fail(Refusal::new(Check::ChainTcb, expected, got))
    }

    /// Returns the versions of the components by the last arc of their extensions.
    fn spls(self) -> Result<Vec<(u32, u8)>, Refusal> {
        let mut spls = Vec::new();
        for (oid, value) in self.extensions().filter(|(oid, _)| oid.parent() == Some(SPL)) {
            let version = version(oid, value)?;
            let arc = oid.arcs().last().unwrap_or_default();
            if spls.iter().any(|(other, _)| *other == arc) {
                return Err(malformed(oid, &"twice"));
            }
            spls.push((arc, version));
        }
        Ok(spls)
    }

    fn text(self, oid: ObjectIdentifier) -> Result<Option<&'a str>, Refusal> {
        let Some(value) = self.value(oid)? else { return Ok(None) };
        let text = Ia5StringRef::from_der(value).map_err(|error| malformed(oid, &error))?;
        Ok(Some(text.as_str()))
    }

    /// Returns the contents of an extension that AMD writes both bare and as an OCTET STRING. Which of
    /// them it is goes by the length, so that no value can be read in two ways.
    fn octets(self, oid: ObjectIdentifier, len: usize) -> Result<Option<&'a [u8]>, Refusal> {
        let Some(value) = self.value(oid)? else { return Ok(None) };
        if value.len() == len {
            return Ok(Some(value));
        }
        let octets = <&OctetStringRef>::from_der(value).map_err(|error| malformed(oid, &error))?;
        Ok(Some(octets.as_bytes()))
    }

    fn value(self, oid: ObjectIdentifier) -> Result<Option<&'a [u8]>, Refusal> {
        let mut found = self.extensions().filter(|(other, _)| *other == oid);
        let first = found.next();
        if found.next().is_some() {
            return Err(malformed(oid, &"twice"));
        }
        Ok(first.map(|(_, value)| value))
    }

    fn extensions(self) -> impl Iterator<Item = (ObjectIdentifier, &'a [u8])> {
        let all = self.certificate.tbs_certificate().extensions().into_iter().flatten();
        all.map(|extension| (extension.extn_id, extension.extn_value.as_bytes()))
    }

    fn check_name(self, of: &Certificate, expected: &str) -> Result<(), Refusal> {
        let name = of.tbs_certificate().subject().common_name().ok().flatten();
        let name = name.as_ref().map(|name| name.value()).unwrap_or_default();
        let holds = name == expected;
        let expected = format!("a certificate of `{expected}`");
        self.checks.require(Check::ChainPlatform, holds, expected, format!("`{name}`"))
    }
}

fn version(oid: ObjectIdentifier, value: &[u8]) -> Result<u8, Refusal> {
    u8::from_der(value).map_err(|error| malformed(oid, &error))
}

fn malformed(oid: ObjectIdentifier, error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Check::ChainEncoding, format!("extension {oid} as AMD defines it"), error)
}
