use std::process::ExitCode;

use crate::args::ConfigArgs;
use crate::config::Config;
use crate::error::CliError;
use crate::output;

pub(crate) fn run(args: &ConfigArgs) -> Result<ExitCode, CliError> {
    let file = args.config.as_deref().filter(|path| !path.as_os_str().is_empty());
    if args.json {
        output::json(&Config::load(file)?.to_be_shown())?;
    } else if file.is_some() {
        let config = Config::load(file)?.to_be_shown();
        output::line(toml::to_string(&config).map_err(CliError::failed)?.trim_end());
    } else {
        output::line(Config::template().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}
