//! Reports as a GPU makes them, signed by keys that the tests have.

use rcgen::{CertificateParams, CustomExtension};

use super::report::{DRIVER_VERSION, FIRMWARE_ID, VBIOS_VERSION};
use crate::Roots;
use crate::testing::{LEAF, TestChain};

pub(super) const FIRMWARE: [u8; 48] = [5; 48];
pub(super) const NONCE: [u8; 32] = [6; 32];
pub(super) const DIGEST: [u8; 48] = [7; 48];

/// A report, to be changed.
#[derive(Clone)]
pub(super) struct Parts {
    /// The request up to its nonce.
    pub(super) request: [u8; 4],
    /// What the report answers.
    pub(super) nonce: [u8; 32],
    pub(super) slot: u8,
    /// The response up to the number of its measurements.
    pub(super) response: [u8; 4],
    pub(super) count: u8,
    pub(super) record: Vec<u8>,
    pub(super) opaque: Vec<u8>,
}

impl Parts {
    pub(super) fn good() -> Self {
        let version = [0x00, 0x9f, 0x00, 0x96, 0x01, 0, 0, 0];
        Self {
            request: [0x11, 0xe0, 0x01, 0xff],
            nonce: NONCE,
            slot: 0,
            response: [0x11, 0x60, 0x00, 0x00],
            count: 2,
            record: [block(1, 1, &DIGEST), block(64, 0x83, b"raw")].concat(),
            opaque: [
                field(DRIVER_VERSION, b"550.90.07\0"),
                field(VBIOS_VERSION, &version),
                field(FIRMWARE_ID, &FIRMWARE),
                field(999, b"of the future"),
            ]
            .concat(),
        }
    }

    pub(super) fn signed(&self) -> Vec<u8> {
        let length = u32::try_from(self.record.len()).unwrap().to_le_bytes();
        let opaque_length = u16::try_from(self.opaque.len()).unwrap().to_le_bytes();
        [
            &self.request[..],
            &self.nonce,
            &[self.slot],
            &self.response,
            &[self.count],
            &length[..3],
            &self.record,
            &[9; 32],
            &opaque_length,
            &self.opaque,
        ]
        .concat()
    }
}

pub(super) fn block(index: u8, kind: u8, value: &[u8]) -> Vec<u8> {
    let inner = u16::try_from(value.len()).unwrap().to_le_bytes();
    let outer = u16::try_from(value.len() + 3).unwrap().to_le_bytes();
    [&[index, 1][..], &outer, &[kind], &inner, value].concat()
}

pub(super) fn field(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_le_bytes();
    [&kind.to_le_bytes()[..], &length, value].concat()
}

/// A GPU's keys, and whom its reports may end at.
pub(crate) struct Gpu {
    pub(super) chain: TestChain,
    pub(super) roots: Roots,
}

impl Gpu {
    pub(super) fn new(change: impl Fn(usize, &mut CertificateParams)) -> Self {
        let chain = TestChain::new(|level, params| {
            if level == LEAF {
                params.custom_extensions.push(device_id(&FIRMWARE));
            }
            change(level, params);
        });
        let roots = chain.roots();
        Self { chain, roots }
    }

    pub(crate) fn good() -> Self {
        Self::new(|_, _| {})
    }

    pub(super) fn sign(&self, parts: &Parts) -> Vec<u8> {
        let signed = parts.signed();
        [signed.as_slice(), &self.chain.sign(&signed)].concat()
    }

    /// The certificates as evidence has them: the root last.
    pub(super) fn certificates(&self) -> Vec<Vec<u8>> {
        self.chain.certificates.iter().rev().cloned().collect()
    }

    /// Makes evidence that answers a nonce.
    #[cfg(feature = "collect")]
    pub(crate) fn evidence(&self, nonce: [u8; 32]) -> crate::Evidence {
        let report = self.sign(&Parts { nonce, ..Parts::good() });
        crate::Evidence::Nvidia { report, certificates: self.certificates() }
    }

    /// Returns the root that its certificates end at.
    #[cfg(feature = "collect")]
    pub(crate) fn root(&self) -> crate::DevelopmentRoot {
        crate::DevelopmentRoot::from_bytes(&self.chain.certificates[0]).unwrap()
    }
}

/// The extension that names a firmware: a sequence of a version, a key and a digest.
pub(super) fn device_id(firmware: &[u8]) -> CustomExtension {
    let digest = [der(6, &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2]), der(4, firmware)].concat();
    let parts = [der(2, &[1]), der(0x30, &[]), der(0x30, &digest)].concat();
    CustomExtension::from_oid_content(&[2, 23, 133, 5, 4, 1], der(0x30, &parts))
}

pub(super) fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(contents.len()).unwrap()][..], contents].concat()
}
