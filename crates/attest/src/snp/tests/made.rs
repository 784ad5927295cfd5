//! Reports and certificates as AMD makes them, by keys of the tests.

use std::sync::OnceLock;

use assay_primitives::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SerialNumber, date_time_ymd,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};

use super::super::report::{self, Field};
use crate::evidence::Context;
use crate::refusal::Checks;
use crate::{Attested, Check, DevelopmentRoot, Evidence, Policy, Refusal, Roots};

/// The arcs of AMD's extensions.
pub(super) const STRUCT_VERSION: &[u64] = &[1];
pub(super) const NAME: &[u64] = &[2];
pub(super) const HWID: &[u64] = &[4];
pub(super) const CSP_ID: &[u64] = &[5];

/// A time at which the certificates are valid.
pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// What is made; a test changes some of it.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) report: Vec<u8>,
    /// The last arcs of the VEK's extensions, and their values.
    pub(super) extensions: Vec<(Vec<u64>, Vec<u8>)>,
    /// The common names of the VEK, the CA and the root.
    pub(super) names: [String; 3],
    pub(super) vek_until: i32,
    pub(super) vek_is_p256: bool,
    pub(super) ca_is_ca: bool,
    pub(super) ca_usages: Vec<KeyUsagePurpose>,
    /// Signs with s, or with the order of the curve less s.
    pub(super) negates_s: bool,
    /// Changes what is signed already.
    pub(super) forged: Vec<(usize, u8)>,
    pub(super) policy: Policy,
    pub(super) now: Timestamp,
    /// Does not accept the root.
    pub(super) is_foreign: bool,
}

struct Keys {
    vek: KeyPair,
    ca: KeyPair,
    root: KeyPair,
    p256: KeyPair,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    let p384 = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let p256 = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    KEYS.get_or_init(|| Keys { vek: p384(), ca: p384(), root: p384(), p256: p256() })
}

impl Made {
    /// Version 2 on Milan, of a chip.
    pub(super) fn milan() -> Self {
        let spls = [1, 2, 4, 5, 6, 7, 3, 8];
        Self::new("Milan", 2, [0, 0], [3, 0, 0, 0, 0, 0, 8, 115], spls, 64)
    }

    /// Version 3 on Genoa, of a chip.
    pub(super) fn genoa() -> Self {
        let spls = [1, 2, 4, 5, 6, 7, 3, 8];
        Self::new("Genoa", 3, [0x19, 0x11], [10, 1, 0, 0, 0, 0, 23, 200], spls, 64)
    }

    /// Version 5 on Turin, of a chip.
    pub(super) fn turin() -> Self {
        let spls = [9, 1, 2, 3, 5, 6, 7, 8];
        Self::new("Turin", 5, [0x1a, 0x02], [1, 2, 1, 4, 0, 0, 0, 73], spls, 8)
    }

    /// Version 3 on Genoa, of a cloud provider.
    pub(super) fn vlek() -> Self {
        let mut made = Self::genoa();
        made.set(report::KEY_INFO, &[0b0_0100]);
        made.set(report::CHIP_ID, &[0; 64]);
        made.names = ["SEV-VLEK", "SEV-VLEK-Genoa", "ARK-Genoa"].map(str::to_owned);
        made.without(HWID).with(CSP_ID, b"\x16\x0acn=example".to_vec())
    }

    fn new(
        product: &str,
        version: u8,
        cpu: [u8; 2],
        tcb: [u8; 8],
        spls: [u64; 8],
        chip: usize,
    ) -> Self {
        // Every product's name has five letters.
        let name = [&[0x16, 5], product.as_bytes()].concat();
        let struct_version = integer(u8::from(chip == 8));
        let mut extensions = vec![(STRUCT_VERSION.to_vec(), struct_version), (NAME.to_vec(), name)];
        let spl = |(arc, version): (u64, u8)| (vec![3, arc], integer(version));
        extensions.extend(spls.into_iter().zip(tcb).map(spl));
        extensions.push((HWID.to_vec(), vec![0xc1; chip]));
        let mut made = Self {
            report: vec![0; report::LEN],
            extensions,
            names: ["SEV-VCEK".to_owned(), format!("SEV-{product}"), format!("ARK-{product}")],
            vek_until: 2033,
            vek_is_p256: false,
            ca_is_ca: true,
            ca_usages: vec![KeyUsagePurpose::KeyCertSign],
            negates_s: false,
            forged: Vec::new(),
            policy: Policy::default(),
            now: NOW,
            is_foreign: false,
        };
        made.set(report::VERSION, &[version]);
        made.set(report::POLICY, &[31, 0, 0b11]);
        made.set(report::SIGNATURE_ALGO, &[1]);
        made.set(report::PLATFORM_INFO, &[0b10_0101]);
        made.set(report::REPORT_DATA, &[0xda; 64]);
        made.set(report::MEASUREMENT, &[0x3e; 48]);
        made.set(report::HOST_DATA, &[0x40; 32]);
        made.set(report::REPORT_ID_MA, &[0xff; 32]);
        made.set(report::CHIP_ID, &vec![0xc1; chip]);
        for field in report::TCBS {
            made.set(*field, &tcb);
        }
        made.on_cpu(cpu)
    }

    /// Sets the first bytes of a field.
    pub(super) fn set(&mut self, field: Field, value: &[u8]) {
        assert!(value.len() <= field.len);
        self.report[field.at..field.at + value.len()].copy_from_slice(value);
    }

    /// Sets a field, as an expression.
    pub(super) fn setting(mut self, field: Field, value: &[u8]) -> Self {
        self.set(field, value);
        self
    }

    /// Sets the CPU's family and model, as an expression.
    pub(super) fn on_cpu(self, [family, model]: [u8; 2]) -> Self {
        self.setting(report::CPUID_FAM_ID, &[family]).setting(report::CPUID_MOD_ID, &[model])
    }

    /// Replaces an extension of the VEK, or adds it.
    pub(super) fn with(mut self, arcs: &[u64], value: Vec<u8>) -> Self {
        match self.extensions.iter_mut().find(|(other, _)| other == arcs) {
            Some((_, old)) => *old = value,
            None => self.extensions.push((arcs.to_vec(), value)),
        }
        self
    }

    /// Leaves an extension of the VEK out.
    pub(super) fn without(mut self, arcs: &[u64]) -> Self {
        self.extensions.retain(|(other, _)| other != arcs);
        self
    }

    /// Appraises it, all checks made.
    pub(super) fn judged(&self) -> Result<Attested, Refusal> {
        self.judged_without(None)
    }

    /// Appraises it with a check left out.
    pub(super) fn judged_without(&self, without: Option<Check>) -> Result<Attested, Refusal> {
        self.judge(&self.evidence(), without)
    }

    /// Appraises evidence under the roots, the policy and at the time of this.
    pub(super) fn judge(
        &self,
        evidence: &Evidence,
        without: Option<Check>,
    ) -> Result<Attested, Refusal> {
        let Evidence::Snp { certificates, .. } = evidence else { panic!("another kind") };
        let root = DevelopmentRoot::from_bytes(&certificates[2]).unwrap();
        let roots = Roots::vendors();
        let roots = if self.is_foreign { roots } else { roots.with_development(root) };
        let checks = Checks { without };
        let context = Context { now: self.now, roots: &roots, policy: &self.policy, checks };
        context.appraise(evidence)
    }

    /// Makes the report and its certificates.
    pub(super) fn evidence(&self) -> Evidence {
        let (report, certificates) = self.parts();
        Evidence::Snp { report, certificates }
    }

    /// Makes the report, and its certificates.
    pub(super) fn parts(&self) -> (Vec<u8>, Vec<Vec<u8>>) {
        let keys = keys();
        let mut root = named(&self.names[2]);
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let mut ca = named(&self.names[1]);
        ca.is_ca = match self.ca_is_ca {
            true => IsCa::Ca(BasicConstraints::Constrained(0)),
            false => IsCa::ExplicitNoCa,
        };
        ca.key_usages = self.ca_usages.clone();
        let mut vek = named(&self.names[0]);
        vek.serial_number = Some(SerialNumber::from_slice(&[0]));
        vek.not_after = date_time_ymd(self.vek_until, 1, 1);
        let extensions = self.extensions.iter().map(|(arcs, value)| {
            let oid = [&[1, 3, 6, 1, 4, 1, 3704, 1], arcs.as_slice()].concat();
            CustomExtension::from_oid_content(&oid, value.clone())
        });
        vek.custom_extensions = extensions.collect();
        let key = if self.vek_is_p256 { &keys.p256 } else { &keys.vek };
        let certificates = [
            vek.signed_by(key, &Issuer::from_params(&ca, &keys.ca)).unwrap(),
            ca.signed_by(&keys.ca, &Issuer::from_params(&root, &keys.root)).unwrap(),
            root.self_signed(&keys.root).unwrap(),
        ];
        (self.signed(), certificates.map(|it| it.der().to_vec()).to_vec())
    }

    fn signed(&self) -> Vec<u8> {
        let mut report = self.report.clone();
        let random = SystemRandom::new();
        let pkcs8 = keys().vek.serialized_der();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8, &random);
        let signature = key.unwrap().sign(&random, &report[report::SIGNED]).unwrap();
        let (r, s) = signature.as_ref().split_at(48);
        let little = |number: &[u8]| number.iter().rev().copied().collect::<Vec<u8>>();
        let mut s = little(s);
        if self.negates_s {
            s = order_less(&s);
        }
        report[report::SIGNATURE_R.at..][..48].copy_from_slice(&little(r));
        report[report::SIGNATURE_S.at..][..48].copy_from_slice(&s);
        for (at, mask) in &self.forged {
            report[*at] ^= mask;
        }
        report
    }
}

/// The DER of an INTEGER.
pub(super) fn integer(value: u8) -> Vec<u8> {
    if value < 0x80 { vec![2, 1, value] } else { vec![2, 2, 0, value] }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Returns the order of P-384 less a number, little-endian.
fn order_less(number: &[u8]) -> Vec<u8> {
    const ORDER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffff\
                         c7634d81f4372ddf581a0db248b0a77aecec196accc52973";
    let order = assay_primitives::encoding::from_hex::<48>(ORDER).unwrap();
    let mut borrow = 0;
    let digits = order.iter().rev().zip(number).map(|(order, digit)| {
        let rest = i16::from(*order) - i16::from(*digit) - borrow;
        borrow = i16::from(rest < 0);
        u8::try_from(rest.rem_euclid(256)).unwrap()
    });
    digits.collect()
}
