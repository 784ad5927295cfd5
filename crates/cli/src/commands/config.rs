use std::process::ExitCode;

use crate::args::ConfigArgs;
use crate::config::Config;
use crate::error::CliError;
use crate::output;

pub(crate) fn run(args: &ConfigArgs) -> Result<ExitCode, CliError> {
    if args.json || args.config.is_some() {
        let config = Config::load(args.config.as_deref())?;
        if args.json {
            output::json(&config)?;
        } else {
            output::line(toml::to_string(&config).map_err(CliError::failed)?.trim_end());
        }
    } else {
        output::line(Config::template().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}
