use std::process::ExitCode;

use assay_primitives::{Digest, KeyId, SystemRandomness};
use assay_receipt::KeyManifest;

use super::system_clock;
use crate::args::KeyCommand;
use crate::error::CliError;
use crate::keys::{KeyFolder, NewOperator, settlement_address};
use crate::output;

pub(crate) fn run(command: &KeyCommand) -> Result<ExitCode, CliError> {
    let now = system_clock().now();
    let manifest = match command {
        KeyCommand::New(args) => {
            let settlement =
                args.settlement.iter().map(|t| settlement_address(t)).collect::<Result<_, _>>()?;
            let operator = NewOperator { settlement, gateways: args.gateway.clone() };
            let keys = KeyFolder::new(&args.folder);
            let manifest = keys.create(operator, now, &SystemRandomness)?;
            let folder = args.folder.display();
            output::note(format_args!(
                "Keys are in {folder}. Keep {folder}/identity.pem offline: the gateway does not \
                 need it, and whoever has it is you."
            ));
            manifest
        }
        KeyCommand::Rotate(args) => KeyFolder::new(&args.folder).rotate(now, &SystemRandomness)?,
        KeyCommand::Revoke(args) => {
            let key: KeyId = args.key.parse().map_err(CliError::input)?;
            KeyFolder::new(&args.folder).revoke(key, &args.reason, now)?
        }
        KeyCommand::Show(args) => KeyFolder::new(&args.folder).manifest()?.1,
    };
    show(&manifest);
    Ok(ExitCode::SUCCESS)
}

fn show(manifest: &KeyManifest) {
    let content = manifest.content();
    output::line(format_args!("operator    {}", content.operator));
    output::line(format_args!("version     {} of {}", content.version, content.issued_at));
    for key in &content.keys {
        let id = KeyId(Digest::of(&key.public_key));
        let purpose = format!("{:?}", key.purpose).to_lowercase();
        let revoked = manifest
            .revocation(id)
            .map_or_else(String::new, |r| format!(", revoked {}: {}", r.time, r.reason));
        output::line(format_args!(
            "{purpose:<11} {id} from {} to {}{revoked}",
            key.valid_from, key.valid_to
        ));
    }
    for address in &content.settlement_addresses {
        output::line(format_args!("settlement  {}:{}", address.network, address.account));
    }
    for gateway in &content.gateways {
        output::line(format_args!("gateway     {gateway}"));
    }
}
