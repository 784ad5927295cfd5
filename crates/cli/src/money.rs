//! Assets and accounts as people read and write them.

use assay_chain::{Address, is_development_address};
use assay_devchain::DEV_TOKEN;
use assay_primitives::{Account, Amount, AssetId, Network, printable};
use assay_service::AssetTerms;

use crate::error::CliError;

/// USDC on Base and on Base Sepolia.
const USDC: [&str; 2] = [
    "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
    "eip155:84532/erc20:0x036CbD53842c5426634e7929541eC2318f3dCF7e",
];

/// The decimal places of every asset that is known here.
const DECIMALS: u8 = 6;

/// Returns what has to be known of the development token to be paid in it.
pub(crate) fn development_asset() -> Result<AssetTerms, CliError> {
    let network = Network::eip155(assay_devchain::CHAIN_ID);
    Ok(AssetTerms {
        id: AssetId::erc20(network, account(DEV_TOKEN)?),
        decimals: DECIMALS,
        name: "Assay Development Dollar".to_owned(),
        version: "1".to_owned(),
    })
}

/// Returns the assets that are paid in without being named, each with its symbol.
pub(crate) fn known_assets() -> Result<Vec<(AssetId, &'static str)>, CliError> {
    let mut known = vec![(development_asset()?.id, "devUSD")];
    for id in USDC {
        known.push((id.parse().map_err(CliError::failed)?, "USDC"));
    }
    Ok(known)
}

/// Returns the decimal places of an asset, if it is known.
pub(crate) fn decimals(network: &Network, asset: &Account) -> Option<u8> {
    let known = known_assets().unwrap_or_default();
    known.iter().any(|(id, _)| id.is_token(network, asset)).then_some(DECIMALS)
}

/// Returns an amount with its asset: `0.001 USDC` for a known one, else in atomic units.
pub(crate) fn shown(amount: Amount, network: &Network, asset: &Account) -> String {
    let known = known_assets().unwrap_or_default();
    match known.iter().find(|(id, _)| id.is_token(network, asset)) {
        Some((_, symbol)) => format!("{} {symbol}", amount.to_decimal(DECIMALS)),
        None => format!("{amount} units of {asset}"),
    }
}

/// Returns an address as an account in its usual spelling.
pub(crate) fn account(address: Address) -> Result<Account, CliError> {
    address.to_string().parse().map_err(CliError::failed)
}

/// Reads an EVM address. One in mixed case has to have the right check sum (EIP-55): money sent to
/// a mistyped address is gone.
pub(crate) fn address(text: &str) -> Result<Address, CliError> {
    let wrong = |why: &str| CliError::Input(format!("`{}` is no EVM address{why}", shorten(text)));
    let digits = text.strip_prefix("0x").ok_or_else(|| wrong(": it begins with 0x"))?;
    let address: Address = text.parse().map_err(|_| wrong(""))?;
    let mixed = digits.bytes().any(|b| b.is_ascii_lowercase())
        && digits.bytes().any(|b| b.is_ascii_uppercase());
    if mixed && Address::parse_checksummed(text, None).is_err() {
        return Err(wrong(": its upper and lower case do not fit the rest (EIP-55)"));
    }
    Ok(address)
}

/// Refuses an account whose key everybody knows where its money would be real.
pub(crate) fn refuse_development(
    setting: &str,
    address: Address,
    network: &Network,
) -> Result<(), CliError> {
    if network.is_development() || !is_development_address(address) {
        return Ok(());
    }
    Err(CliError::Input(format!(
        "{setting}: the key of {address} is a public development key: refused on {network}"
    )))
}

/// Returns a URL without what may be a secret in it: credentials, path and query.
pub(crate) fn public_part(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => "the configured URL".to_owned(),
    }
}

fn shorten(text: &str) -> String {
    printable(text, 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_addresses_are_refused() {
        let right = "0x4562246Cfc2337c411c5CA3b6030429eA7059425";
        assert_eq!(address(right).unwrap().to_string(), right);
        assert!(address(&right.to_lowercase()).is_ok());
        let swapped = right.replace("CA3b", "Ca3b");
        assert!(address(&swapped).unwrap_err().to_string().contains("EIP-55"));
        assert!(address(right.strip_prefix("0x").unwrap()).is_err());
        assert!(address(&format!("{right}0")).is_err());
    }

    #[test]
    fn amounts_carry_the_name_of_their_asset() {
        let (id, _) = known_assets().unwrap().swap_remove(1);
        let lower: Account = id.reference().to_string().to_lowercase().parse().unwrap();
        assert_eq!(shown(Amount(1_500), id.network(), &lower), "0.0015 USDC");
        let elsewhere = Network::eip155(1);
        assert_eq!(
            shown(Amount(7), &elsewhere, id.reference()),
            format!("7 units of {}", id.reference())
        );
    }

    #[test]
    fn public_keys_are_refused_for_real_money() {
        let known = assay_devchain::dev_accounts()[1].address;
        assert!(refuse_development("pay_to", known, &Network::eip155(31_337)).is_ok());
        assert!(refuse_development("pay_to", known, &Network::eip155(8_453)).is_err());
        assert!(refuse_development("pay_to", Address::ZERO, &Network::eip155(8_453)).is_ok());
    }

    #[test]
    fn urls_are_shown_without_their_secrets() {
        assert_eq!(public_part("https://u:p@rpc.example/v2/key?k=1"), "https://rpc.example");
    }
}
