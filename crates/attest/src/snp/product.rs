//! AMD's products that have SEV-SNP, and how each of them lays out a TCB version.

use std::fmt;

/// A product, by which AMD's keys and certificates go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Product {
    Milan,
    /// With Bergamo and Siena, whose keys are signed by Genoa's (AMD 57230).
    Genoa,
    Turin,
}

impl Product {
    /// Returns the name as AMD's certificates have it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// Finds the product of a CPU by its family and model, the extended ones included.
    pub(super) const fn of_cpu(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x1f) => Some(Self::Turin),
            _ => None,
        }
    }

    /// Finds the product of a name with or without a stepping, as `Milan-B0`.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        match name.split_once('-').map_or(name, |(product, _)| product) {
            "Milan" => Some(Self::Milan),
            "Genoa" | "Bergamo" | "Siena" => Some(Self::Genoa),
            "Turin" => Some(Self::Turin),
            _ => None,
        }
    }

    /// Returns how many bytes of a report's chip id identify the chip; the others are zero.
    pub(super) const fn chip_id_len(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }

    /// Returns what the bytes of a TCB version are (AMD 56860, section 2.2).
    pub(super) const fn layout(self) -> &'static [Component; 8] {
        use Component::{Bootloader, Fmc, Microcode, Snp, Spl4, Spl5, Spl6, Spl7, Tee};
        match self {
            Self::Milan | Self::Genoa => &[Bootloader, Tee, Spl4, Spl5, Spl6, Spl7, Snp, Microcode],
            Self::Turin => &[Fmc, Bootloader, Tee, Snp, Spl5, Spl6, Spl7, Microcode],
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A part of the TCB that has a version of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Component {
    Bootloader,
    Tee,
    Snp,
    Spl4,
    Spl5,
    Spl6,
    Spl7,
    Microcode,
    Fmc,
}

impl Component {
    /// Returns the last arc of the object identifier of its certificate extension (AMD 57230).
    pub(super) const fn arc(self) -> u32 {
        match self {
            Self::Bootloader => 1,
            Self::Tee => 2,
            Self::Snp => 3,
            Self::Spl4 => 4,
            Self::Spl5 => 5,
            Self::Spl6 => 6,
            Self::Spl7 => 7,
            Self::Microcode => 8,
            Self::Fmc => 9,
        }
    }

    /// Returns its name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Bootloader => "bootloader",
            Self::Tee => "tee",
            Self::Snp => "snp",
            Self::Spl4 => "spl4",
            Self::Spl5 => "spl5",
            Self::Spl6 => "spl6",
            Self::Spl7 => "spl7",
            Self::Microcode => "microcode",
            Self::Fmc => "fmc",
        }
    }

    /// Says whether it has no meaning yet.
    pub(super) const fn is_reserved(self) -> bool {
        matches!(self, Self::Spl4 | Self::Spl5 | Self::Spl6 | Self::Spl7)
    }
}

/// The versions of a TCB.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TcbVersion {
    product: Product,
    bytes: [u8; 8],
}

impl TcbVersion {
    pub(super) const fn new(product: Product, bytes: [u8; 8]) -> Self {
        Self { product, bytes }
    }

    /// Returns the version of every component that the product has, the reserved ones too.
    pub(super) fn components(self) -> impl Iterator<Item = (Component, u8)> {
        self.product.layout().iter().copied().zip(self.bytes)
    }
}

/// As `bootloader 3, tee 0, snp 8, microcode 115`.
impl fmt::Display for TcbVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.components().filter(|(component, _)| !component.is_reserved());
        for (at, (component, version)) in named.enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{} {version}", component.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_go_by_family_and_model() {
        let of = |family, model| Product::of_cpu(family, model).map(Product::as_str);
        assert_eq!(of(0x19, 0x01), Some("Milan"));
        assert_eq!(of(0x19, 0x11), Some("Genoa"));
        assert_eq!(of(0x19, 0xa0), Some("Genoa"));
        assert_eq!(of(0x1a, 0x02), Some("Turin"));
        assert_eq!(of(0x1a, 0x11), Some("Turin"));
        for (family, model) in [(0x17, 0x31), (0x19, 0x21), (0x19, 0xb0), (0x1a, 0x50), (0, 0)] {
            assert_eq!(of(family, model), None, "{family:#x} {model:#x}");
        }
    }

    #[test]
    fn products_go_by_name() {
        let of = |name| Product::of_name(name).map(Product::as_str);
        assert_eq!(of("Milan"), Some("Milan"));
        assert_eq!(of("Genoa-B1"), Some("Genoa"));
        assert_eq!(of("Siena"), Some("Genoa"));
        assert_eq!(of("Turin-B0"), Some("Turin"));
        for name in ["", "milan", "Milano", "Rome", "-Milan", " Milan"] {
            assert_eq!(of(name), None, "{name:?}");
        }
    }

    #[test]
    fn the_tcb_of_turin_has_an_fmc() {
        let bytes = [1, 2, 3, 4, 0, 0, 7, 8];
        let milan = TcbVersion::new(Product::Milan, bytes).to_string();
        assert_eq!(milan, "bootloader 1, tee 2, snp 7, microcode 8");
        let turin = TcbVersion::new(Product::Turin, bytes).to_string();
        assert_eq!(turin, "fmc 1, bootloader 2, tee 3, snp 4, microcode 8");
    }
}
