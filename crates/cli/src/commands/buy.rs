//! A transaction from a file, bought and verified.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use assay_client::{ItemOrder, TensorOrder, TransactionOrder};
use assay_engine::ModelPackage;
use assay_primitives::{InferenceOutput, ItemId, Method, Tensor, printable};
use assay_receipt::{Bundle, ItemDetails, ItemStatement, Outcome, OutcomePolicy, Price};
use assay_verify::{ItemReport, Report};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::input::{self, Written};
use super::purchase::{Given, Purchase};
use super::{infer, show, system_clock};
use crate::args::BuyArgs;
use crate::error::CliError;
use crate::files;
use crate::money;
use crate::node::{connect, packages};
use crate::output::{self, Style};

/// The most bytes a transaction's file may have.
const MAX_FILE: u64 = 64 << 20;
/// The most characters of a cell of the table.
const MAX_CELL: usize = 160;

/// The heads of the table's columns.
const COLUMNS: [&str; 7] = ["item", "model", "method", "price", "evidence", "verdict", "answer"];
/// A line of the table.
type Row = [String; COLUMNS.len()];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    outcome_policy: OutcomePolicy,
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
    timeout_ms: Option<u32>,
}

fn signed() -> Method {
    Method::SIGNED
}

pub(crate) async fn run(args: BuyArgs) -> Result<ExitCode, CliError> {
    let purchase = Purchase::prepare(&args.gateway, &args.purchase)?;
    let packages = packages(None)?;
    let (items, outcome_policy) = read(&args, &packages).await?;
    let mut preferences = purchase.preferences.clone();
    let mut buyer = purchase.buyer()?;
    if outcome_policy == OutcomePolicy::Each {
        preferences = preferences.with_upto();
        if let Some(url) = &args.rpc_url {
            buyer = buyer.asking(connect(url, None, &system_clock(), None).await?);
        }
    }
    let order = TransactionOrder { items, outcome_policy, preferences };
    let bought = purchase.wait(buyer.transact(order, &purchase.verifier, None)).await?;
    purchase.finish(&bought, || Answers::of(&bought.bundle, &bought.report, &packages))
}

/// Reads the file, and what it names.
async fn read(
    args: &BuyArgs,
    packages: &[ModelPackage],
) -> Result<(Vec<ItemOrder>, OutcomePolicy), CliError> {
    let path = &args.transaction;
    let wrong = |error: String| CliError::Input(format!("{}: {error}", path.display()));
    let text = files::read_text(path, MAX_FILE)?;
    let file: File = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut orders = Vec::with_capacity(file.items.len());
    for item in file.items {
        let id = item.id.clone();
        let inputs = item.inputs(folder, &args.gateway, packages).await;
        let inputs = inputs.map_err(|error| match error {
            CliError::Input(error) => wrong(format!("item `{id}`: {error}")),
            other => other,
        })?;
        let Item { id, model, method, timeout_ms, .. } = item;
        let timeout = timeout_ms.map(|millis| Duration::from_millis(millis.into()));
        orders.push(ItemOrder { id, model, method, inputs, timeout });
    }
    Ok((orders, file.outcome_policy))
}

impl Item {
    async fn inputs(
        &self,
        folder: &Path,
        gateway: &str,
        packages: &[ModelPackage],
    ) -> Result<Vec<TensorOrder>, CliError> {
        match (&self.inputs, &self.input_data, &self.input, self.sample) {
            (Some(inputs), None, None, None) => {
                let text = serde_json::to_string(inputs).map_err(CliError::input)?;
                serde_json::from_str(&text).map_err(|e| CliError::Input(format!("inputs: {e}")))
            }
            (None, Some(data), None, None) => {
                let data = data.iter().map(to_raw_value).collect::<Result<_, _>>();
                self.shaped(data.map_err(CliError::input)?, gateway).await
            }
            (None, None, Some(file), None) => match input::open(&folder.join(file))? {
                Written::Inputs(inputs) => Ok(inputs),
                Written::Data(data) => self.shaped(data, gateway).await,
            },
            (None, None, None, Some(sample)) => self.sample(sample, packages),
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
        let specs = input::specs(gateway, &self.model).await?;
        input::shaped(data, specs).map_err(CliError::Input)
    }

    fn sample(
        &self,
        index: usize,
        packages: &[ModelPackage],
    ) -> Result<Vec<TensorOrder>, CliError> {
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

/// What the items gave.
#[derive(Serialize)]
pub(super) struct Answers<'a> {
    items: Vec<ItemAnswer<'a>>,
}

#[derive(Serialize)]
struct ItemAnswer<'a> {
    id: Option<&'a ItemId>,
    model: &'a str,
    method: &'a Method,
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Vec<Tensor>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<Failed>,
    label: Option<String>,
    #[serde(skip)]
    price: Price,
}

#[derive(Serialize)]
struct Failed {
    reason: String,
    charged: bool,
}

impl<'a> Answers<'a> {
    /// Reads them in a bundle that was verified.
    pub(super) fn of(
        bundle: &Bundle,
        report: &'a Report,
        packages: &[ModelPackage],
    ) -> Result<Self, CliError> {
        let items = report.items.iter().zip(&bundle.items);
        let items = items.map(|(item, disclosed)| {
            let statement = ItemStatement::from_bytes(&disclosed.statement);
            let ItemDetails { model, price, usage, outcome, .. } =
                statement.map_err(CliError::failed)?.details;
            let output = disclosed.output.as_deref().map(InferenceOutput::from_bytes).transpose();
            let output = output.map_err(CliError::failed)?;
            let label = output.as_ref().and_then(|output| infer::label(packages, &model, output));
            Ok(ItemAnswer {
                id: item.id.as_ref(),
                model: &item.model.name,
                method: &item.method,
                label,
                outputs: output.map(|output| output.outputs),
                failed: match outcome {
                    Outcome::Failed { reason } => {
                        Some(Failed { reason, charged: usage.inferences > 0 })
                    }
                    Outcome::Ok => None,
                },
                price,
            })
        });
        Ok(Self { items: items.collect::<Result<_, CliError>>()? })
    }
}

impl Given for Answers<'_> {
    fn print(&self, report: &Report, style: Style) -> Result<(), CliError> {
        let rows = self.items.iter().zip(&report.items);
        let rows = rows.map(|(answer, item)| answer.row(item)).collect::<Result<_, _>>()?;
        table(rows, style);
        output::line("");
        show::transaction(report, style);
        Ok(())
    }
}

impl ItemAnswer<'_> {
    /// What the item is, what it cost, what backs it, and what it gave.
    fn row(&self, item: &ItemReport) -> Result<Row, CliError> {
        let answer = match (&self.failed, &self.label) {
            (Some(failed), _) => format!("failed: {}", failed.reason),
            (None, Some(label)) => label.clone(),
            (None, None) => {
                let first = self.outputs.as_ref().and_then(|outputs| outputs.first());
                first.map(infer::shown).transpose()?.unwrap_or_default()
            }
        };
        let Price { amount, asset } = &self.price;
        let price = match &self.failed {
            Some(Failed { charged: false, .. }) => "not charged".to_owned(),
            _ => money::shown(*amount, asset.network(), asset.reference()),
        };
        let row = [
            self.id.map_or_else(|| item.index.to_string(), ToString::to_string),
            self.model.to_owned(),
            self.method.to_string(),
            price,
            format!("{} B", item.evidence_bytes),
            item.verdict.as_str().to_owned(),
            answer,
        ];
        // Names and answers are the gateway's words.
        Ok(row.map(|cell| printable(&cell, MAX_CELL)))
    }
}

/// Prints a line for each item, in columns.
fn table(rows: Vec<Row>, style: Style) {
    let rows: Vec<Row> = std::iter::once(COLUMNS.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    for (index, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let text = cells.collect::<Vec<_>>().join("  ");
        let text = text.trim_end();
        output::line(if index == 0 { style.faint(text) } else { text.to_owned() });
    }
}
