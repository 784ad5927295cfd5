use std::process::ExitCode;

use super::{interrupted, serve, system_clock};
use crate::args::DevchainArgs;
use crate::error::CliError;
use crate::node::start_devchain;
use crate::output;

pub(crate) async fn run(args: &DevchainArgs) -> Result<ExitCode, CliError> {
    let clock = system_clock();
    let (server, stop) = start_devchain(args.data.as_deref(), args.listen, &clock).await?;
    output::line(format_args!("chain       {}", server.url));
    output::line(format_args!("network     eip155:{}", assay_devchain::CHAIN_ID));
    output::line(format_args!("token       {}", assay_devchain::DEV_TOKEN));
    output::line("These keys are public: they are refused on networks that move real money.");
    serve::accounts();
    interrupted().await?;
    stop.cancel();
    server.stopped().await;
    Ok(ExitCode::SUCCESS)
}
