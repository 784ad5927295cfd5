use std::process::ExitCode;
use std::time::Duration;

use assay_engine::ModelPackage;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use crate::args::ModelsArgs;
use crate::error::CliError;
use crate::node::packages;
use crate::output;

/// The most bytes a catalogue may have.
const MAX_CATALOGUE: usize = 8 << 20;

pub(crate) async fn run(args: &ModelsArgs) -> Result<ExitCode, CliError> {
    match &args.gateway {
        Some(gateway) => of_gateway(gateway, args.json).await?,
        None => of_folder(&packages(&args.folder)?, args.json)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn of_gateway(gateway: &str, as_json: bool) -> Result<(), CliError> {
    let catalogue: Value = get(gateway, &["v1", "models"], Duration::from_secs(10)).await?;
    if as_json {
        return output::json(&catalogue);
    }
    let text = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or("not said").to_owned()
    };
    output::line(format_args!("operator    {}", text(&catalogue, "operator")));
    let list = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    for model in list(&catalogue, "models") {
        let (name, version) = (text(&model, "name"), text(&model, "version"));
        output::line(format_args!("{name} {version}   {}", text(&model, "title")));
        output::line(format_args!("  id        {}", text(&model, "id")));
        output::line(format_args!("  engine    {}", text(&model, "engine")));
        for method in list(&model, "methods") {
            let prices: Vec<String> = list(&method, "prices")
                .iter()
                .map(|price| format!("{} of {}", text(price, "decimal"), text(price, "asset")))
                .collect();
            let (name, believe) = (text(&method, "method"), text(&method, "believe"));
            output::line(format_args!(
                "  {name:<9} {}; you have to believe {believe}",
                prices.join(" or ")
            ));
        }
    }
    Ok(())
}

fn of_folder(packages: &[ModelPackage], as_json: bool) -> Result<(), CliError> {
    if as_json {
        let models: Vec<Value> = packages
            .iter()
            .map(|package| json!({ "id": package.id(), "card": package.card() }))
            .collect();
        return output::json(&json!({ "models": models }));
    }
    for package in packages {
        let card = package.card();
        output::line(format_args!("{} {}   {}", card.name, card.version, card.title));
        output::line(format_args!("  id        {}", package.id()));
        let accuracy = &card.accuracy;
        output::line(format_args!(
            "  accuracy  {} {} on {}",
            accuracy.value, accuracy.metric, accuracy.split
        ));
    }
    Ok(())
}

/// Gets JSON from a gateway.
pub(super) async fn get<T: DeserializeOwned>(
    gateway: &str,
    path: &[&str],
    timeout: Duration,
) -> Result<T, CliError> {
    let wrong = || CliError::Input(format!("`{gateway}` is not the URL of a gateway"));
    let mut url = Url::parse(gateway).map_err(|_| wrong())?;
    url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(path);
    let failed = |error: reqwest::Error| {
        CliError::Failed(format!("gateway {gateway}: {}", error.without_url()))
    };
    let http = assay_chain::http_client(&url, Duration::from_secs(5), timeout).map_err(failed)?;
    let mut response = http.get(url).send().await.map_err(failed)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_CATALOGUE {
            return Err(CliError::Failed(format!("gateway {gateway}: the answer is too long")));
        }
    }
    if !status.is_success() {
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        let error = told.get("error").and_then(Value::as_str).unwrap_or("no reason given");
        return Err(CliError::Input(format!("gateway {gateway}: {error}")));
    }
    serde_json::from_slice(&body)
        .map_err(|error| CliError::Failed(format!("gateway {gateway}: {error}")))
}
