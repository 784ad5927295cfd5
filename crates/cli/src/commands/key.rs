use std::process::ExitCode;

use assay_attest::Image;
use assay_primitives::{Digest, KeyId, SystemRandomness, Timestamp};
use assay_receipt::{KeyManifest, ManifestKey};
use serde_json::{Value, json};
use url::Url;

use super::system_clock;
use crate::args::{KeyCommand, KeyNewArgs};
use crate::error::CliError;
use crate::keys::{KeyFolder, NewOperator, OVERLAP, settlement_address};
use crate::node::make_storage_key;
use crate::output;

pub(crate) fn run(command: &KeyCommand) -> Result<ExitCode, CliError> {
    let now = system_clock().now();
    let folder = command.folder();
    let keys = KeyFolder::new(&folder.path);
    let manifest = match command {
        KeyCommand::New(args) => {
            let manifest = keys.create(new_operator(args)?, now, &SystemRandomness)?;
            make_storage_key(&folder.path, &SystemRandomness)?;
            manifest
        }
        KeyCommand::Rotate(_) => keys.rotate(now, &SystemRandomness)?,
        KeyCommand::Revoke(args) => {
            let key: KeyId = args.key.parse().map_err(CliError::input)?;
            keys.revoke(key, &args.reason, now, &SystemRandomness)?
        }
        KeyCommand::Measure(args) => {
            let images = args.images.iter().map(|text| text.parse::<Image>());
            let images = images.collect::<Result<Vec<_>, _>>().map_err(CliError::input)?;
            let (manifest, known) = keys.measure(&images, now)?;
            for image in known {
                output::note(format_args!("It is in the key manifest already: {image}"));
            }
            manifest
        }
        KeyCommand::Show(_) => keys.manifest()?.1,
    };
    if folder.json {
        output::json(&to_json(&manifest, &keys, now))?;
    } else {
        show(&manifest, &keys, now);
    }
    advise(command, &manifest);
    Ok(ExitCode::SUCCESS)
}

fn new_operator(args: &KeyNewArgs) -> Result<NewOperator, CliError> {
    let settlement =
        args.settlement.iter().map(|t| settlement_address(t)).collect::<Result<_, _>>()?;
    for gateway in &args.gateway {
        let url = Url::parse(gateway).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if url.is_none() {
            let message = format!("--gateway: `{gateway}` is not the URL of a gateway");
            return Err(CliError::Input(message));
        }
    }
    Ok(NewOperator { settlement, gateways: args.gateway.clone() })
}

/// Says what is to be done next, and what must not be forgotten.
fn advise(command: &KeyCommand, manifest: &KeyManifest) {
    let folder = command.folder().path.display();
    let version = manifest.content().version;
    match command {
        KeyCommand::New(_) => output::note(format_args!(
            "Keep {folder}/identity.pem offline: the gateway does not need it, and whoever has it \
             is you. Keep a copy of {folder}/storage.key: what is sold is sealed with it, and lost \
             without it."
        )),
        KeyCommand::Rotate(_) => output::note(format_args!(
            "Restart the gateway within {} minutes: until then it signs with the key before, which \
             stays good for so long.",
            OVERLAP.as_secs() / 60
        )),
        KeyCommand::Revoke(_) => output::note(format_args!(
            "Restart the gateway now. Receipts under the revoked key are refused with this key \
             manifest; policies that ask for `manifest_version = {version}` refuse the manifests \
             before it."
        )),
        KeyCommand::Measure(_) => output::note(format_args!(
            "Restart the gateway with this key manifest: then what an enclave of no listed image gives \
             is charged to nobody. Under it receipts of such enclaves are refused, those from before \
             too: list every image that you sold from."
        )),
        KeyCommand::Show(_) => {}
    }
}

/// What a key is good for at this time.
fn state(manifest: &KeyManifest, key: &ManifestKey, current: bool, now: Timestamp) -> &'static str {
    if manifest.revocation(id_of(key)).is_some() {
        "revoked"
    } else if now > key.valid_to {
        "expired"
    } else if now < key.valid_from {
        "not yet"
    } else if current {
        "signs"
    } else {
        "good"
    }
}

fn show(manifest: &KeyManifest, keys: &KeyFolder, now: Timestamp) {
    let content = manifest.content();
    let current = keys.current(manifest, now);
    output::field("operator", content.operator);
    output::field("manifest", format_args!("version {}, {}", content.version, content.issued_at));
    for address in &content.settlement_addresses {
        output::field("paid to", format_args!("{}:{}", address.network, address.account));
    }
    for gateway in &content.gateways {
        output::field("gateway", gateway);
    }
    for image in &content.enclave_measurements {
        output::field("image", image);
        if let Err(error) = image.parse::<Image>() {
            output::detail("no image", error);
        }
    }
    for key in &content.keys {
        let id = id_of(key);
        output::field(&purpose(key), id);
        let state = state(manifest, key, current == Some(id), now);
        output::detail(state, format_args!("from {} to {}", key.valid_from, key.valid_to));
        if let Some(revocation) = manifest.revocation(id) {
            output::detail("revoked", format_args!("{}: {}", revocation.time, revocation.reason));
        }
    }
}

fn to_json(manifest: &KeyManifest, keys: &KeyFolder, now: Timestamp) -> Value {
    let content = manifest.content();
    let current = keys.current(manifest, now);
    let key = |key: &ManifestKey| {
        let id = id_of(key);
        let revocation = manifest.revocation(id);
        json!({
            "id": id,
            "purpose": key.purpose,
            "state": state(manifest, key, current == Some(id), now),
            "validFrom": key.valid_from,
            "validTo": key.valid_to,
            "revoked": revocation.map(|r| json!({ "time": r.time, "reason": r.reason })),
        })
    };
    json!({
        "operator": content.operator,
        "version": content.version,
        "issuedAt": content.issued_at,
        "receiptKey": current,
        "keys": content.keys.iter().map(key).collect::<Vec<Value>>(),
        "settlementAddresses": content.settlement_addresses,
        "gateways": content.gateways,
        "enclaveMeasurements": content.enclave_measurements,
    })
}

fn id_of(key: &ManifestKey) -> KeyId {
    KeyId(Digest::of(&key.public_key))
}

fn purpose(key: &ManifestKey) -> String {
    format!("{:?} key", key.purpose).to_lowercase()
}
