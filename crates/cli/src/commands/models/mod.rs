mod add;

use std::path::Path;
use std::process::ExitCode;

use assay_engine::ModelPackage;
use assay_primitives::{Amount, AssetId, InferenceRequest};
use serde_json::{Value, json};

use super::gateway;
use crate::args::{ModelsArgs, ModelsCommand};
use crate::error::CliError;
use crate::money;
use crate::node::packages;
use crate::output::{self, Style};

pub(crate) async fn run(args: &ModelsArgs) -> Result<ExitCode, CliError> {
    if let Some(ModelsCommand::Add(args)) = &args.command {
        return add::run(args).await;
    }
    let folder = args.folder.as_deref();
    match (&args.example, &args.gateway) {
        (Some(model), _) => example(folder, model)?,
        (None, Some(gateway)) if folder.is_none() && !gateway.is_empty() => {
            of_gateway(gateway, args.json).await?;
        }
        _ => of_packages(folder, args.json)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a model's first sample as the request of the Open Inference Protocol.
fn example(folder: Option<&Path>, model: &str) -> Result<(), CliError> {
    let packages = packages(folder)?;
    let package = packages.iter().find(|package| package.card().name == model);
    let package = package.ok_or_else(|| {
        let names: Vec<&str> = packages.iter().map(|p| p.card().name.as_str()).collect();
        CliError::Input(format!(
            "there is no model `{model}` here; there are: {}",
            names.join(", ")
        ))
    })?;
    let sample = package.samples().get(0);
    let sample = sample.ok_or_else(|| CliError::Input(format!("`{model}` has no samples")))?;
    let request = InferenceRequest { inputs: vec![sample.input.clone()] };
    let text = request.to_bytes().map_err(CliError::failed)?;
    output::line(String::from_utf8_lossy(&text));
    Ok(())
}

async fn of_gateway(gateway: &str, as_json: bool) -> Result<(), CliError> {
    let catalogue: Value = gateway::get(gateway, &["v1", "models"]).await?;
    if as_json {
        return output::json(&catalogue);
    }
    output::field("operator", text(&catalogue, "operator"));
    output::field("paid to", text(&catalogue, "payTo"));
    let list = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    for model in list(&catalogue, "models") {
        head(&text(&model, "name"), &text(&model, "version"), &text(&model, "title"));
        output::detail("id", text(&model, "id"));
        output::detail("engine", text(&model, "engine"));
        let accuracy = model.get("accuracy").unwrap_or(&Value::Null);
        let [value, metric, split] = ["value", "metric", "split"].map(|key| text(accuracy, key));
        output::detail("accuracy", format_args!("{value} {metric}, {split}"));
        for method in list(&model, "methods") {
            let prices: Vec<String> = list(&method, "prices").iter().map(price).collect();
            let (name, believe) = (text(&method, "method"), text(&method, "believe"));
            let prices = prices.join(" or ");
            output::detail(&name, format_args!("{prices}; you have to believe {believe}"));
            show_program(&method);
        }
    }
    Ok(())
}

/// Says what a method runs in place of the model, and what its proofs are like.
fn show_program(method: &Value) {
    if method.get("program").is_some_and(Value::is_string) {
        output::detail("", format_args!("program {}", text(method, "program")));
    }
    let proof = method.get("proof").unwrap_or(&Value::Null);
    if let Some(most) = proof.get("maxBytes").and_then(Value::as_u64) {
        let mode = text(proof, "mode");
        output::detail("", format_args!("proofs in mode {mode}, at most {most} bytes"));
    }
}

fn of_packages(folder: Option<&Path>, as_json: bool) -> Result<(), CliError> {
    let packages = packages(folder)?;
    if as_json {
        let model = |package: &ModelPackage| json!({ "id": package.id(), "card": package.card() });
        let models: Vec<Value> = packages.iter().map(model).collect();
        return output::json(&json!({ "models": models }));
    }
    for package in &packages {
        let (card, accuracy) = (package.card(), &package.card().accuracy);
        head(&card.name, &card.version, &card.title);
        output::detail("id", package.id());
        output::detail(
            "accuracy",
            format_args!("{} {}, {}", accuracy.value, accuracy.metric, accuracy.split),
        );
        output::detail("samples", package.samples().len());
        output::detail("licence", &card.licence);
    }
    Ok(())
}

fn head(name: &str, version: &str, title: &str) {
    let head = assay_primitives::printable(&format!("{name} {version}"), 128);
    let title = assay_primitives::printable(title, 128);
    output::line(format_args!("{}  {title}", Style::of_stdout().bold(&head)));
}

/// Returns a price in words: in the asset's symbol where it is one that is known here.
fn price(price: &Value) -> String {
    let (asset, amount) = (text(price, "asset"), text(price, "amount"));
    let known = asset.parse::<AssetId>().ok().zip(amount.parse::<Amount>().ok());
    match known {
        Some((id, amount)) => money::shown(amount, id.network(), id.reference()),
        None => format!("{} of {asset}", text(price, "decimal")),
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or("not said").to_owned()
}
