use std::process::ExitCode;

use assay_client::InferenceOrder;
use assay_engine::ModelPackage;
use assay_primitives::{InferenceOutput, Method, Tensor, printable};
use assay_receipt::{Bundle, ItemStatement, ModelUsed};
use assay_verify::Report;
use serde::Serialize;

use super::purchase::{Given, Purchase};
use super::{input, show};
use crate::args::InferArgs;
use crate::error::CliError;
use crate::node::packages;
use crate::output::{self, Style};

/// The most elements of an output that are printed for people.
const MAX_ELEMENTS: usize = 16;

pub(crate) async fn run(args: InferArgs) -> Result<ExitCode, CliError> {
    let method: Method =
        args.method.parse().map_err(|error| CliError::Input(format!("--method: {error}")))?;
    let purchase = Purchase::prepare(&args.gateway, &args.purchase)?;
    let specs = input::specs(&args.gateway, &args.model).await?;
    let request = input::read(&args.input, specs)?;
    let (model, preferences) = (args.model.clone(), purchase.preferences.clone());
    let order = InferenceOrder { model, method, request, preferences };
    let buyer = purchase.buyer()?;
    let bought = purchase.wait(buyer.infer(order, &purchase.verifier)).await?;
    purchase.finish(&bought, || Answer::new(&bought.bundle, &bought.output))
}

/// What a model gave.
#[derive(Serialize)]
pub(super) struct Answer<'a> {
    outputs: &'a [Tensor],
    label: Option<String>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(bundle: &Bundle, output: &'a InferenceOutput) -> Result<Self, CliError> {
        let statement = bundle.items.first().map(|item| ItemStatement::from_bytes(&item.statement));
        let statement = statement.transpose().map_err(CliError::failed)?;
        let packages = packages(None)?;
        let label = statement.and_then(|it| label(&packages, &it.details.model, output));
        Ok(Self { outputs: &output.outputs, label })
    }
}

impl Given for Answer<'_> {
    fn print(&self, report: &Report, style: Style) -> Result<(), CliError> {
        if let Some(label) = &self.label {
            output::line(format_args!("{:<11} {}", "answer", style.bold(&printable(label, 128))));
        }
        for tensor in self.outputs {
            output::field("output", shown(tensor)?);
        }
        show::report(report, style);
        Ok(())
    }
}

/// Returns what the output says in a word, where this program carries the model that the receipt
/// names by its digest: a program has the words of the package that it was compiled from. The gateway's own
/// word for it would be a word that nothing certifies.
pub(super) fn label(
    packages: &[ModelPackage],
    model: &ModelUsed,
    output: &InferenceOutput,
) -> Option<String> {
    let package = packages.iter().find(|package| package.id() == model.package)?;
    package.card().top_label(output).map(str::to_owned)
}

/// Returns a tensor in a line.
pub(super) fn shown(tensor: &Tensor) -> Result<String, CliError> {
    let text = serde_json::to_string(tensor.data()).map_err(CliError::failed)?;
    let elements = text.trim_matches(['[', ']']).split(',');
    let mut texts: Vec<String> = elements.take(MAX_ELEMENTS).map(str::to_owned).collect();
    let all = tensor.data().len();
    if all > MAX_ELEMENTS {
        texts.push(format!("… {all} in all, --json prints them"));
    }
    Ok(format!("{} {:?} {}", tensor.name(), tensor.shape(), texts.join(" ")))
}
