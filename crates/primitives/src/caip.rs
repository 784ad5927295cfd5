use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::{encoding, printable};

/// A text that is not a chain-agnostic identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a {kind}: expected `{shape}`, got `{got}`")]
pub struct CaipError {
    kind: &'static str,
    shape: &'static str,
    got: String,
}

/// A network as a CAIP-2 chain id, such as `eip155:8453`. x402 calls it `network`.
///
/// One network has one spelling: namespaces are lower-case, and the reference of an `eip155` network
/// is a decimal number without leading zeros, so that neither a policy nor
/// [`is_development`](Self::is_development) can be passed by writing a name differently.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Network(String);

impl Network {
    /// Returns the CAIP-2 id of an EVM chain.
    #[must_use]
    pub fn eip155(chain_id: u64) -> Self {
        Self(format!("eip155:{chain_id}"))
    }

    /// Returns the EVM chain id, or `None` for a network of another namespace.
    #[must_use]
    pub fn evm_chain_id(&self) -> Option<u64> {
        self.0.strip_prefix("eip155:")?.parse().ok()
    }

    /// Says whether this is a chain made for development (31337 or 1337), whose money is play money
    /// and whose history anyone can write.
    #[must_use]
    pub fn is_development(&self) -> bool {
        matches!(self.evm_chain_id(), Some(31_337 | 1_337))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An account on a network: the address part of a CAIP-10 id, spelt as the network spells it
/// (EIP-55 on EVM chains).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Account(String);

impl Account {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether both name one account. Hexadecimal addresses compare without regard to case.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let hexadecimal = self.0.starts_with("0x") && other.0.starts_with("0x");
        if hexadecimal { self.0.eq_ignore_ascii_case(&other.0) } else { self == other }
    }
}

/// An asset as a CAIP-19 id, such as `eip155:8453/erc20:0x8335…`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AssetId {
    network: Network,
    namespace: String,
    reference: Account,
}

impl AssetId {
    /// Returns the id of an ERC-20 token.
    #[must_use]
    pub fn erc20(network: Network, token: Account) -> Self {
        Self { network, namespace: "erc20".to_owned(), reference: token }
    }

    /// Returns the network the asset lives on.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the asset's reference in its namespace: an ERC-20 token's address.
    #[must_use]
    pub const fn reference(&self) -> &Account {
        &self.reference
    }

    /// Says whether this is what x402 calls `asset` on `network`: on EVM chains, the ERC-20 token at
    /// that address.
    #[must_use]
    pub fn is_token(&self, network: &Network, asset: &Account) -> bool {
        let is_fungible = self.namespace == "erc20" || network.evm_chain_id().is_none();
        self.network == *network && is_fungible && self.reference.is_same(asset)
    }
}

impl FromStr for Network {
    type Err = CaipError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = text.split_once(':').is_some_and(|(namespace, reference)| {
            is_namespace(namespace)
                && is_reference(reference, 32, "-_")
                && (namespace != "eip155" || is_chain_id(reference))
        });
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(wrong("CAIP-2 network", "eip155:8453", text))
        }
    }
}

impl FromStr for Account {
    type Err = CaipError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_reference(text, 128, "-.%") {
            Ok(Self(text.to_owned()))
        } else {
            Err(wrong("CAIP-10 account address", "0x…", text))
        }
    }
}

impl FromStr for AssetId {
    type Err = CaipError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || wrong("CAIP-19 asset", "eip155:8453/erc20:0x…", text);
        let (network, asset) = text.split_once('/').ok_or_else(error)?;
        let (namespace, reference) = asset.split_once(':').ok_or_else(error)?;
        if !is_namespace(namespace) {
            return Err(error());
        }
        Ok(Self {
            network: network.parse()?,
            namespace: namespace.to_owned(),
            reference: reference.parse()?,
        })
    }
}

fn is_namespace(text: &str) -> bool {
    (3..=8).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn is_reference(text: &str, most: usize, others: &str) -> bool {
    (1..=most).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

fn is_chain_id(text: &str) -> bool {
    text.parse::<u64>().is_ok_and(|id| id.to_string() == text)
}

fn wrong(kind: &'static str, shape: &'static str, got: &str) -> CaipError {
    CaipError { kind, shape, got: printable(got, 160) }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.network, self.namespace, self.reference)
    }
}

/// Text newtypes that read and write as their text.
macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                encoding::deserialize_text(deserializer)
            }
        }
    )*};
}

as_text!(Network, Account, AssetId);

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_caip_2() {
        let base: Network = "eip155:8453".parse().unwrap();
        assert_eq!(base.evm_chain_id(), Some(8453));
        assert!(!base.is_development());
        assert!(Network::eip155(31_337).is_development());
        for wrong in ["base", "eip155", "eip155:", ":1", "eip155:1 ", "ei:1"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong:?} was accepted");
        }
    }

    #[test]
    fn a_network_has_one_spelling() {
        for wrong in ["EIP155:31337", "Eip155:1", "eip155:031337", "eip155:0x1", "eip155:-1"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong:?} was accepted");
        }
        assert!("eip155:18446744073709551616".parse::<Network>().is_err());
        assert!("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".parse::<Network>().is_ok());
    }

    #[test]
    fn accounts_compare_as_their_network_does() {
        let account = |text: &str| text.parse::<Account>().unwrap();
        assert!(account("0xAb").is_same(&account("0xaB")));
        assert!(!account("0xab").is_same(&account("0Xab")));
        assert!(!account("0Xab").is_same(&account("0xab")));
        assert!(!account("Ab").is_same(&account("aB")));
    }

    #[test]
    fn assets_are_caip_19() {
        let text = "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
        let asset: AssetId = text.parse().unwrap();
        assert_eq!(asset.to_string(), text);
        let lower: Account = asset.reference().as_str().to_lowercase().parse().unwrap();
        assert!(asset.reference().is_same(&lower));
        assert!(asset.is_token(&Network::eip155(8453), &lower));
        assert!(!asset.is_token(&Network::eip155(1), &lower));
        let other: AssetId = text.replace("erc20", "erc721").parse().unwrap();
        assert!(!other.is_token(&Network::eip155(8453), &lower));
        for wrong in ["", "eip155:1/erc20", "eip155:1/:0x", "/erc20:0x1", "eip155:1/erc20:0x/1"] {
            assert!(wrong.parse::<AssetId>().is_err(), "{wrong:?} was accepted");
        }
        assert!(text.replace("erc20", "ERC20").parse::<AssetId>().is_err());
    }
}
