//! A transaction from a file, bought and verified.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use assay_client::{Bought, Buyer, BuyerConfig, ItemOrder, TensorOrder, TransactionOrder};
use assay_engine::ModelPackage;
use assay_primitives::{InferenceOutput, ItemId, Method, SystemRandomness, Tensor, printable};
use assay_receipt::{ItemDetails, ItemStatement, Price};
use assay_verify::Report;
use assay_x402::SettleResponse;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::infer::{self, Paid, client_error, not_bought, not_saved, payer};
use super::input::InputSpec;
use super::{gateway, show, system_clock, verify};
use crate::args::BuyArgs;
use crate::error::CliError;
use crate::files::{self, OutFile};
use crate::money;
use crate::node::packages;
use crate::output::{self, Style};

/// The most bytes a transaction's file, or a file of an input, may have.
const MAX_FILE: u64 = 64 << 20;
/// The most characters of a cell of the table.
const MAX_CELL: usize = 160;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    id: ItemId,
    model: String,
    #[serde(default = "signed")]
    method: Method,
    /// Tensors as the Open Inference Protocol has them.
    inputs: Option<Value>,
    /// The elements of each input.
    input_data: Option<Vec<Value>>,
    /// A file with either.
    input: Option<std::path::PathBuf>,
    /// A sample of a model that this program carries.
    sample: Option<usize>,
}

fn signed() -> Method {
    Method::SIGNED
}

#[derive(Deserialize)]
struct InputFile {
    inputs: Option<Vec<TensorOrder>>,
    input_data: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
struct Metadata {
    inputs: Vec<InputSpec>,
}

pub(crate) async fn run(args: BuyArgs) -> Result<ExitCode, CliError> {
    let verifier = verify::trusting(&args.purchase.trust)?;
    let (key, preferences) = payer(&args.purchase.payer)?;
    // Found out before it is paid for.
    let out = args.purchase.out.as_deref().map(OutFile::prepare).transpose()?;
    let order = TransactionOrder { items: read(&args).await?, preferences };
    let (key, random) = (Arc::new(key), Arc::new(SystemRandomness));
    let buyer = Buyer::new(&args.gateway, key, system_clock(), random, BuyerConfig::default())
        .map_err(|error| client_error(error, &args.gateway))?;
    let waiting = format!("Waiting for {} to answer and settle", args.gateway);
    let bought =
        output::patiently(&waiting, Box::pin(buyer.transact(order, &verifier, None))).await;
    let bought =
        bought.map_err(|error| not_bought(error, args.purchase.out.as_deref(), &args.gateway))?;
    let saved = out.map_or(Ok(()), |out| out.write(&bought.file));
    print(&args, &bought)?;
    saved.map_err(|error| not_saved(&error, &bought, &args.gateway))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the file, and what it names.
async fn read(args: &BuyArgs) -> Result<Vec<ItemOrder>, CliError> {
    let path = &args.transaction;
    let wrong = |error: String| CliError::Input(format!("{}: {error}", path.display()));
    let text = files::read_text(path, MAX_FILE)?;
    let file: File = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut orders = Vec::with_capacity(file.items.len());
    for item in file.items {
        let id = item.id.clone();
        let inputs = item.inputs(folder, &args.gateway).await;
        let inputs = inputs.map_err(|error| match error {
            CliError::Input(error) => wrong(format!("item `{id}`: {error}")),
            other => other,
        })?;
        let Item { id, model, method, .. } = item;
        orders.push(ItemOrder { id, model, method, inputs });
    }
    Ok(orders)
}

impl Item {
    async fn inputs(&self, folder: &Path, gateway: &str) -> Result<Vec<TensorOrder>, CliError> {
        match (&self.inputs, &self.input_data, &self.input, self.sample) {
            (Some(inputs), None, None, None) => {
                let text = serde_json::to_string(inputs).map_err(CliError::input)?;
                serde_json::from_str(&text).map_err(|e| CliError::Input(format!("inputs: {e}")))
            }
            (None, Some(data), None, None) => {
                let data = data.iter().map(to_raw_value).collect::<Result<_, _>>();
                self.shaped(data.map_err(CliError::input)?, gateway).await
            }
            (None, None, Some(file), None) => {
                let path = folder.join(file);
                let wrong = |error: String| CliError::Input(format!("{}: {error}", path.display()));
                let text = files::read(&path, MAX_FILE)?;
                let file: InputFile =
                    serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
                match (file.inputs, file.input_data) {
                    (Some(inputs), None) => Ok(inputs),
                    (None, Some(data)) => self.shaped(data, gateway).await,
                    _ => Err(wrong("expected either `inputs` or `input_data`".to_owned())),
                }
            }
            (None, None, None, Some(sample)) => self.sample(sample),
            _ => Err(CliError::Input(
                "expected one of `input`, `inputs`, `input_data` and `sample`".to_owned(),
            )),
        }
    }

    /// Gives elements the shapes that the gateway says the model takes.
    async fn shaped(
        &self,
        data: Vec<Box<RawValue>>,
        gateway: &str,
    ) -> Result<Vec<TensorOrder>, CliError> {
        let metadata: Metadata = gateway::get(gateway, &["v2", "models", &self.model]).await?;
        if data.len() != metadata.inputs.len() {
            return Err(CliError::Input(format!(
                "input_data: expected a list for each of the model's inputs, {}, got {}",
                metadata.inputs.len(),
                data.len()
            )));
        }
        let specs = metadata.inputs.into_iter().zip(data);
        Ok(specs.map(|(spec, data)| spec.order(data)).collect())
    }

    fn sample(&self, index: usize) -> Result<Vec<TensorOrder>, CliError> {
        let packages = packages(None)?;
        let package = packages.iter().find(|package| package.card().name == self.model);
        let sample = package.and_then(|package| package.samples().get(index));
        let input = &sample
            .ok_or_else(|| {
                let model = printable(&self.model, 64);
                CliError::Input(format!("this program carries no sample {index} of `{model}`"))
            })?
            .input;
        Ok(vec![TensorOrder::of(input).map_err(CliError::failed)?])
    }
}

/// What `--json` prints. Serialised at once: floats keep the spelling that was committed to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    items: Vec<ItemAnswer<'a>>,
    report: &'a Report,
    paid: Paid<'a>,
    settlement: &'a Option<SettleResponse>,
    answered_in_microseconds: Option<u64>,
    bundle: Option<&'a Path>,
    access_token: String,
}

#[derive(Serialize)]
struct ItemAnswer<'a> {
    id: Option<&'a ItemId>,
    model: &'a str,
    method: &'a Method,
    outputs: &'a [Tensor],
    label: Option<String>,
}

fn print(args: &BuyArgs, bought: &Bought<Vec<InferenceOutput>>) -> Result<(), CliError> {
    let Bought { offer, output, report, settlement, .. } = bought;
    if args.purchase.json {
        let labels = Labels::new(bought)?;
        let items = report.items.iter().zip(output).zip(&labels.details);
        let items = items.map(|((item, output), details)| ItemAnswer {
            id: item.id.as_ref(),
            model: &item.model.name,
            method: &item.method,
            outputs: &output.outputs,
            label: labels.of(details, output),
        });
        return output::json(&Answer {
            items: items.collect(),
            report,
            paid: Paid { amount: offer.amount, asset: &offer.asset, network: &offer.network },
            settlement,
            answered_in_microseconds: u64::try_from(bought.answered_in.as_micros()).ok(),
            bundle: args.purchase.out.as_deref(),
            access_token: bought.access_token.reveal(),
        });
    }
    let style = Style::of_stdout();
    table(bought, style)?;
    output::line("");
    show::transaction(report, style);
    if let Some(path) = &args.purchase.out {
        output::field("bundle", path.display());
    }
    Ok(())
}

/// Prints a line for each item: what it is, what it cost, what backs it, and what it gave.
fn table(bought: &Bought<Vec<InferenceOutput>>, style: Style) -> Result<(), CliError> {
    let head = ["item", "model", "method", "price", "evidence", "verdict", "answer"];
    let mut rows = vec![head.map(str::to_owned)];
    let labels = Labels::new(bought)?;
    for ((item, output), details) in
        bought.report.items.iter().zip(&bought.output).zip(&labels.details)
    {
        let answer = match labels.of(details, output) {
            Some(label) => label,
            None => output.outputs.first().map(infer::shown).transpose()?.unwrap_or_default(),
        };
        let row = [
            item.id.as_ref().map_or_else(|| item.index.to_string(), ToString::to_string),
            item.model.name.clone(),
            item.method.to_string(),
            shown_price(&details.price),
            format!("{} B", item.evidence_bytes),
            item.verdict.as_str().to_owned(),
            answer,
        ];
        // Names and answers are the gateway's words.
        rows.push(row.map(|cell| printable(&cell, MAX_CELL)));
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for (index, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let text = cells.collect::<Vec<_>>().join("  ");
        let text = text.trim_end();
        output::line(if index == 0 { style.faint(text) } else { text.to_owned() });
    }
    Ok(())
}

fn shown_price(price: &Price) -> String {
    money::shown(price.amount, price.asset.network(), price.asset.reference())
}

/// What items' outputs say in a word, where this program carries their models.
struct Labels {
    packages: Vec<ModelPackage>,
    /// Of each item, as its statement has it.
    details: Vec<ItemDetails>,
}

impl Labels {
    fn new(bought: &Bought<Vec<InferenceOutput>>) -> Result<Self, CliError> {
        let statements = bought.bundle.items.iter();
        let statements = statements.map(|item| ItemStatement::from_bytes(&item.statement));
        let details = statements.map(|one| one.map(|statement| statement.details));
        let details = details.collect::<Result<_, _>>().map_err(CliError::failed)?;
        Ok(Self { packages: packages(None)?, details })
    }

    /// A program has the labels of the model that it was compiled from.
    fn of(&self, details: &ItemDetails, output: &InferenceOutput) -> Option<String> {
        let package = self.packages.iter().find(|package| package.id() == details.model.package)?;
        package.card().top_label(output).map(str::to_owned)
    }
}
