//! The gateway's configuration: one TOML file, and the environment over it.

mod tee;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_gateway::{ClientLimits, ForwardedHeader, IpNetworkError, TrustedProxies};
use assay_primitives::{Network, parse_duration};
use assay_service::Release;
use assay_store::Durability;
use confique::Config as _;
use serde::Serialize;
use url::Url;

pub(crate) use self::tee::{Tee, epoch};
use crate::error::CliError;
use crate::files;
use crate::money;

/// The most bytes the file may have.
const MAX_FILE: u64 = 1 << 20;

/// Bounds of what can be meant: outside them nothing could be sold.
const MAX_PARALLEL: u64 = 4_096;
const MAX_BODY: u64 = 1 << 30;
const MAX_CONFIRMATIONS: u64 = 10_000;
/// A buyer needs some time to fetch a bundle, and a settlement to become final.
const RETENTION: RangeInclusive<Duration> =
    Duration::from_secs(3_600)..=Duration::from_secs(3_650 * 86_400);
/// A payment is taken while half of the time is left, and needs some seconds to be settled.
const TIMEOUTS: RangeInclusive<u64> = 12..=86_400;

/// Configuration of `assay serve`. Every setting can be given in this file or in the environment
/// variable named beside it, which counts more. An empty text is the same as no setting. Paths are
/// relative to where the program is started.
#[derive(Clone, Debug, confique::Config, Serialize)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Config {
    /// Where the gateway listens.
    #[config(env = "ASSAY_LISTEN", default = "127.0.0.1:8402")]
    pub(crate) listen: SocketAddr,

    /// How clients reach the gateway. By default http:// and the address it listens on.
    #[config(env = "ASSAY_PUBLIC_URL")]
    pub(crate) public_url: Option<String>,

    /// The folder of the database, the evidence, and the development chain and keys.
    #[config(env = "ASSAY_DATA", default = "assay-data")]
    pub(crate) data: PathBuf,

    /// The folder of model packages. By default the three that this program carries: digits,
    /// tumour and wine.
    #[config(env = "ASSAY_MODELS")]
    pub(crate) models: Option<PathBuf>,

    /// The file with the prices. On a development chain every model costs 0.001 without it.
    #[config(env = "ASSAY_PRICES")]
    pub(crate) prices: Option<PathBuf>,

    /// When a step is on the disk: "full" survives a loss of power, "normal" the end of the
    /// process.
    #[config(env = "ASSAY_DURABILITY", default = "full")]
    pub(crate) durability: String,

    /// How long inputs, outputs and payments are kept once a transaction is settled or has failed:
    /// from 1h to 3650d. Then they are erased, a payment not before `chain.reorg_depth` has passed;
    /// receipts and settlement records stay.
    #[config(env = "ASSAY_RETENTION", default = "7d")]
    pub(crate) retention: String,

    /// How many inferences run at a time; 0 is one for each core.
    #[config(env = "ASSAY_PARALLEL", default = 0)]
    pub(crate) parallel: usize,

    #[config(nested)]
    pub(crate) http: Http,

    #[config(nested)]
    pub(crate) clients: Clients,

    #[config(nested)]
    pub(crate) keys: Keys,

    #[config(nested)]
    pub(crate) chain: Chain,

    #[config(nested)]
    pub(crate) payment: Payment,

    #[config(nested)]
    pub(crate) tee: Tee,

    #[config(nested)]
    pub(crate) zkml: Zkml,

    #[config(nested)]
    pub(crate) telemetry: Telemetry,
}

/// The proofs of the method `zkml`.
#[derive(Clone, Debug, confique::Config, Serialize)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Zkml {
    /// How much memory proofs may take, in MiB. A model whose proofs may take more is not sold by `zkml`.
    #[config(env = "ASSAY_ZKML_MEMORY_MIB", default = 4_096)]
    pub(crate) memory_mib: u64,
}

impl Zkml {
    /// Returns the bytes that proofs may take.
    pub(crate) const fn memory(&self) -> u64 {
        self.memory_mib.saturating_mul(1 << 20)
    }
}

/// Limits of HTTP requests.
#[derive(Clone, Debug, confique::Config, Serialize)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Http {
    /// The most bytes a request's body may have.
    #[config(env = "ASSAY_BODY_LIMIT", default = 8_388_608)]
    pub(crate) body_limit: usize,

    /// How long a request's body may take to arrive.
    #[config(env = "ASSAY_BODY_TIMEOUT", default = "30s")]
    pub(crate) body_timeout: String,
}

/// What an address may take before it pays; the /64 of an IPv6 address counts as one. Programs of this
/// machine are not limited.
#[derive(Clone, Debug, confique::Config, Serialize)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Clients {
    /// How many requests without a payment an address may send a second in the long run, and ten
    /// times as many at once. 0 is any number.
    #[config(env = "ASSAY_QUESTIONS_PER_SECOND", default = 50)]
    pub(crate) questions_per_second: u32,

    /// The same for requests with a payment, good or not.
    #[config(env = "ASSAY_PAYMENTS_PER_SECOND", default = 500)]
    pub(crate) payments_per_second: u32,

    /// How many connections an address may have. 0 is any number.
    #[config(env = "ASSAY_CONNECTIONS", default = 256)]
    pub(crate) connections: usize,

    /// How long an answer waits for a client that does not read on.
    #[config(env = "ASSAY_READ_TIMEOUT", default = "30s")]
    pub(crate) read_timeout: String,

    /// The proxies whose word is taken on where a request came from: addresses and ranges, as
    /// "10.0.0.0/8"; in the environment with commas between them.
    #[config(
        env = "ASSAY_TRUSTED_PROXIES",
        default = [],
        parse_env = confique::env::parse::list_by_comma
    )]
    pub(crate) trusted_proxies: Vec<String>,

    /// The header that these proxies write: "x-forwarded-for" or "forwarded". The other one is not
    /// read, as a client may write it.
    #[config(env = "ASSAY_FORWARDED_HEADER", default = "x-forwarded-for")]
    pub(crate) forwarded_header: String,
}

/// The operator's keys.
#[derive(Clone, Debug, confique::Config, Serialize)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Keys {
    /// The folder that `assay key new` made; `identity.pem` need not be in it. On a development
    /// chain keys are made without it, in the data folder.
    #[config(env = "ASSAY_KEYS")]
    pub(crate) folder: Option<PathBuf>,

    /// The file with the key that inputs, outputs and payments are sealed with in the data folder: 64
    /// hexadecimal digits. By default `storage.key` in the folder of the keys; on a development chain
    /// one that is made in the data folder. The key itself may stand in the environment variable
    /// ASSAY_STORAGE_KEY. Without it nothing of what was sold can be read.
    #[config(env = "ASSAY_STORAGE_KEY_FILE")]
    pub(crate) storage_key_file: Option<PathBuf>,
}

/// The chain that payments are settled on.
#[derive(Clone, Debug, confique::Config, Serialize)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Chain {
    /// The chain's JSON-RPC URL. Without it a development chain is started.
    #[config(env = "ASSAY_RPC_URL")]
    pub(crate) rpc_url: Option<String>,

    /// The network that must be behind the URL, CAIP-2, as "eip155:8453".
    #[config(env = "ASSAY_NETWORK")]
    pub(crate) network: Option<String>,

    /// How many blocks have to hold a settlement, its own included.
    #[config(env = "ASSAY_CONFIRMATIONS", default = 1)]
    pub(crate) confirmations: u64,

    /// For how many blocks a settlement is looked after that a reorganisation may take back: it is
    /// recorded, and settled again. 0 for not at all.
    #[config(env = "ASSAY_REORG_DEPTH", default = 64)]
    pub(crate) reorg_depth: u64,

    /// Where the development chain listens, when one is started.
    #[config(env = "ASSAY_DEVCHAIN_LISTEN", default = "127.0.0.1:8545")]
    pub(crate) devchain_listen: SocketAddr,
}

/// How payments are settled.
#[derive(Clone, Debug, confique::Config, Serialize)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Payment {
    /// The account that is paid, an EVM address. It must be in the key manifest. By default a
    /// development account, on a development chain alone.
    #[config(env = "ASSAY_PAY_TO")]
    pub(crate) pay_to: Option<String>,

    /// The file with the settling account's secp256k1 key in hexadecimal; it pays the gas. By
    /// default a development account, on a development chain alone. The key itself may stand in
    /// the environment variable ASSAY_SETTLEMENT_KEY.
    #[config(env = "ASSAY_SETTLEMENT_KEY_FILE")]
    pub(crate) settlement_key_file: Option<PathBuf>,

    /// The URL of an x402 facilitator that settles in place of a key of one's own.
    #[config(env = "ASSAY_FACILITATOR_URL")]
    pub(crate) facilitator_url: Option<String>,

    /// The file with the bearer token that the facilitator wants. The token itself may stand in the
    /// environment variable ASSAY_FACILITATOR_TOKEN.
    #[config(env = "ASSAY_FACILITATOR_TOKEN_FILE")]
    pub(crate) facilitator_token_file: Option<PathBuf>,

    /// For how many seconds a payer is asked to sign: more than twice the longest inference and
    /// settlement, as a payment is taken while half of them are left.
    #[config(env = "ASSAY_MAX_TIMEOUT_SECONDS", default = 60)]
    pub(crate) max_timeout_seconds: u64,

    /// When a result is released: "settlement" when its payment is settled; "verification" when its
    /// receipt is stored, and the payment is settled behind it. What cannot be settled then is your
    /// loss.
    #[config(env = "ASSAY_RELEASE", default = "settlement")]
    pub(crate) release: String,

    /// The most that one payer may have outstanding, in atomic units of the asset: the sum of what is
    /// taken on and not settled. 0 is any sum.
    #[config(env = "ASSAY_EXPOSURE", default = 0)]
    pub(crate) exposure: u64,
}

/// What is told to who watches the gateway, beside `/metrics` and the log.
#[derive(Clone, Debug, confique::Config, Serialize)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Telemetry {
    /// The URL of an OpenTelemetry collector that takes traces over OTLP/HTTP, as
    /// "http://127.0.0.1:4318"; `/v1/traces` is added.
    #[config(env = "ASSAY_OTLP_ENDPOINT")]
    pub(crate) otlp_endpoint: Option<String>,
}

impl Config {
    /// Returns the defaults, whatever stands in the environment.
    pub(crate) fn defaults() -> Result<Self, CliError> {
        Self::builder().load().map_err(|error| CliError::failed(format!("{error:#}")))
    }

    /// Reads the file, if there is one, and the environment over it.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, CliError> {
        let mut builder = Self::builder().env();
        if let Some(file) = file {
            builder = builder.preloaded(layer(file)?);
        }
        let wrong = |error| CliError::Input(format!("configuration: {error}"));
        let mut config = builder.load().map_err(|error| wrong(format!("{error:#}")))?;
        config.tidy();
        config.check().map_err(wrong)?;
        Ok(config)
    }

    /// Returns the configuration file with every setting, its meaning, variable and default.
    pub(crate) fn template() -> String {
        let text = confique::toml::template::<Self>(confique::toml::FormatOptions::default());
        // What has no default can be uncommented all the same.
        let line = |line: &str| {
            let unset = line.starts_with('#') && line.ends_with(" =");
            if unset { format!("{line} \"\"\n") } else { format!("{line}\n") }
        };
        text.lines().map(line).collect()
    }

    /// Returns the settings without what may be secret in their URLs.
    pub(crate) fn to_be_shown(&self) -> Self {
        let mut config = self.clone();
        let urls = [
            &mut config.chain.rpc_url,
            &mut config.payment.facilitator_url,
            &mut config.telemetry.otlp_endpoint,
        ];
        for url in urls.into_iter().flatten() {
            let public = money::public_part(url);
            if public != url.trim_end_matches('/') {
                *url = format!("{public}/…");
            }
        }
        config
    }

    pub(crate) fn durability(&self) -> Result<Durability, String> {
        match self.durability.as_str() {
            "full" => Ok(Durability::Full),
            "normal" => Ok(Durability::Normal),
            other => Err(format!("durability: expected \"full\" or \"normal\", got \"{other}\"")),
        }
    }

    pub(crate) fn release(&self) -> Result<Release, String> {
        match self.payment.release.as_str() {
            "settlement" => Ok(Release::Settlement),
            "verification" => Ok(Release::Verification),
            other => Err(format!(
                "payment.release: expected \"settlement\" or \"verification\", got \"{other}\""
            )),
        }
    }

    pub(crate) fn body_timeout(&self) -> Result<Duration, String> {
        parse_duration(&self.http.body_timeout)
            .map_err(|error| format!("http.body_timeout: {error}"))
    }

    pub(crate) fn retention(&self) -> Result<Duration, String> {
        let got = &self.retention;
        let retention = parse_duration(got).map_err(|error| format!("retention: {error}"))?;
        if RETENTION.contains(&retention) {
            Ok(retention)
        } else {
            Err(format!("retention: expected 1h to 3650d, got {got}"))
        }
    }

    pub(crate) fn clients(&self) -> Result<ClientLimits, String> {
        let clients = &self.clients;
        let mut limits = ClientLimits::default();
        limits.questions_per_second = clients.questions_per_second;
        limits.payments_per_second = clients.payments_per_second;
        limits.connections = clients.connections;
        limits.read_timeout = parse_duration(&clients.read_timeout)
            .map_err(|error| format!("clients.read_timeout: {error}"))?;
        if limits.read_timeout.is_zero() {
            return Err("clients.read_timeout: expected more than 0".to_owned());
        }
        let networks = clients.trusted_proxies.iter().filter(|network| !network.is_empty());
        let networks = networks.map(|network| network.trim().parse()).collect::<Result<_, _>>();
        let networks = networks
            .map_err(|error: IpNetworkError| format!("clients.trusted_proxies: {error}"))?;
        let header = match clients.forwarded_header.as_str() {
            "x-forwarded-for" => ForwardedHeader::XForwardedFor,
            "forwarded" => ForwardedHeader::Forwarded,
            other => {
                return Err(format!(
                    "clients.forwarded_header: expected \"x-forwarded-for\" or \"forwarded\", got \"{other}\""
                ));
            }
        };
        limits.proxies = TrustedProxies::new(networks, header);
        Ok(limits)
    }

    pub(crate) fn network(&self) -> Result<Option<Network>, String> {
        let network = self.chain.network.as_deref().map(str::parse).transpose();
        network.map_err(|error| format!("chain.network: {error}"))
    }

    fn check(&self) -> Result<(), String> {
        self.durability()?;
        self.release()?;
        self.retention()?;
        if self.body_timeout()?.is_zero() {
            return Err("http.body_timeout: expected more than 0".to_owned());
        }
        within("parallel", self.parallel as u64, 0..=MAX_PARALLEL)?;
        within("http.body_limit", self.http.body_limit as u64, 1..=MAX_BODY)?;
        within("chain.confirmations", self.chain.confirmations, 1..=MAX_CONFIRMATIONS)?;
        within("chain.reorg_depth", self.chain.reorg_depth, 0..=MAX_CONFIRMATIONS)?;
        within("payment.max_timeout_seconds", self.payment.max_timeout_seconds, TIMEOUTS)?;
        self.clients()?;
        self.tee.check()?;
        let network = self.network()?;
        for (setting, url) in [
            ("public_url", &self.public_url),
            ("chain.rpc_url", &self.chain.rpc_url),
            ("payment.facilitator_url", &self.payment.facilitator_url),
            ("telemetry.otlp_endpoint", &self.telemetry.otlp_endpoint),
        ] {
            // The text is not repeated: it may hold a key.
            let parsed = url.as_deref().map(Url::parse);
            if !parsed.is_none_or(|url| url.is_ok_and(|u| matches!(u.scheme(), "http" | "https"))) {
                return Err(format!("{setting}: this is not the URL of an HTTP service"));
            }
        }
        if let Some(network) = network
            && !network.is_development()
            && self.chain.rpc_url.is_none()
        {
            return Err(format!("chain.network is {network}, and chain.rpc_url is not set"));
        }
        Ok(())
    }

    fn tidy(&mut self) {
        let texts = [
            &mut self.public_url,
            &mut self.chain.rpc_url,
            &mut self.chain.network,
            &mut self.payment.pay_to,
            &mut self.payment.facilitator_url,
            &mut self.tee.attester,
            &mut self.telemetry.otlp_endpoint,
        ];
        for text in texts {
            text.take_if(|text| text.is_empty());
        }
        if let Some(url) = &mut self.public_url {
            url.truncate(url.trim_end_matches('/').len());
        }
        let paths = [
            &mut self.models,
            &mut self.prices,
            &mut self.keys.folder,
            &mut self.keys.storage_key_file,
            &mut self.payment.settlement_key_file,
            &mut self.payment.facilitator_token_file,
            &mut self.tee.certificates,
            &mut self.tee.collateral,
            &mut self.tee.policy,
        ];
        for path in paths {
            path.take_if(|path| path.as_os_str().is_empty());
        }
    }
}

fn within(setting: &str, got: u64, range: RangeInclusive<u64>) -> Result<(), String> {
    if range.contains(&got) {
        return Ok(());
    }
    Err(format!("{setting}: expected {} to {}, got {got}", range.start(), range.end()))
}

/// Reads the file. A line that cannot be read is not repeated: it may hold a secret.
fn layer(file: &Path) -> Result<<Config as confique::Config>::Layer, CliError> {
    let text = files::read_text(file, MAX_FILE)?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        CliError::Input(format!("{}, line {line}: {}", file.display(), error.message()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("assay.conf");
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file)).map_err(|error| error.to_string())
    }

    #[test]
    fn wrong_settings_are_named() {
        for (text, expected) in [
            ("listne = \"x\"", "line 1: unknown field `listne`"),
            ("[chain]\n\nurl = 1", "line 3: unknown field `url`"),
            ("[http]\nbody_timeout = \"soon\"", "http.body_timeout"),
            ("durability = \"some\"", "durability: expected"),
            ("retention = \"0\"", "retention: not a duration"),
            ("retention = \"59m\"", "retention: expected 1h to 3650d, got 59m"),
            ("retention = \"3651d\"", "retention: expected 1h to 3650d, got 3651d"),
            ("[chain]\nnetwork = \"base\"", "chain.network"),
            ("[chain]\nnetwork = \"eip155:8453\"", "chain.rpc_url is not set"),
            ("[chain]\nrpc_url = \"ws://x\"", "chain.rpc_url: this is not"),
            ("parallel = 4097", "parallel: expected 0 to 4096, got 4097"),
            ("[http]\nbody_limit = 0", "http.body_limit: expected 1 to"),
            ("[http]\nbody_timeout = \"0s\"", "http.body_timeout: expected more than 0"),
            ("[clients]\nread_timeout = \"0s\"", "clients.read_timeout: expected more than 0"),
            (
                "[clients]\ntrusted_proxies = [\"10.0.0.0/8\", \"x\"]",
                "trusted_proxies: expected an",
            ),
            ("[clients]\nforwarded_header = \"via\"", "got \"via\""),
            ("[chain]\nconfirmations = 0", "chain.confirmations: expected 1 to"),
            ("[payment]\nmax_timeout_seconds = 11", "max_timeout_seconds: expected 12 to"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_repeated() {
        for text in ["[chain]\nrpc_url = https://x/s3cret", "[chain]\nrpc_url = \"s3cret\""] {
            let error = read(text).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
        let config = read("[chain]\nrpc_url = \"https://u:p@x/s3cret\"").unwrap().to_be_shown();
        assert_eq!(config.chain.rpc_url.unwrap(), "https://x/…");
        let config = read("[chain]\nrpc_url = \"http://127.0.0.1:8545\"").unwrap().to_be_shown();
        assert_eq!(config.chain.rpc_url.unwrap(), "http://127.0.0.1:8545");
    }
}
