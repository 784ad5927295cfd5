//! The figures of a gateway, and their table in the documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::{Gateway, Place, get};

const BEGIN: &str =
    "<!-- metrics: written by `ASSAY_BLESS=1 cargo test -p assay-cli --test main -- metrics` -->\n";
const END: &str = "<!-- end of metrics -->\n";

/// A metric as it is printed.
#[derive(Debug, Default)]
struct Metric {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

fn metrics(text: &str) -> BTreeMap<String, Metric> {
    let mut found: BTreeMap<String, Metric> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                found.entry(name.to_owned()).or_default().help = help.trim_end_matches('.').into();
                last = name.to_owned();
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                found.get_mut(name).unwrap().kind = kind.to_owned();
            }
            (Some("#"), ..) => {}
            _ => {
                assert!(line.starts_with(&last), "{line} is not of {last}");
                let labels = line.split(['{', '}']).nth(1).filter(|_| line.contains('{'));
                let labels = labels.unwrap_or_default().split("\",");
                let names = labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
                found.get_mut(&last).unwrap().labels.extend(names.filter(|name| name != "le"));
            }
        }
    }
    found
}

fn table(metrics: &BTreeMap<String, Metric>) -> String {
    let mut table = "\n| figure | kind | labels | is |\n|---|---|---|---|\n".to_owned();
    for (name, Metric { kind, help, labels }) in metrics {
        let total = if kind == "counter" { "_total" } else { "" };
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        table.push_str(&format!("| `{name}{total}` | {kind} | {} | {help} |\n", labels.join(", ")));
    }
    table + "\n"
}

#[test]
fn every_figure_is_documented() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[]);
    place.buy(&shop.url, "one.assay");
    get(&shop.url, "/nowhere");
    let text = String::from_utf8(get(&shop.url, "/metrics").1).unwrap();
    let metrics = metrics(&text);
    for (name, metric) in &metrics {
        assert!(name.starts_with("assay_") && !metric.help.is_empty(), "{name}: {metric:?}");
        assert!(!name.ends_with("_total") && !name.contains("milli"), "{name}");
    }
    // What everything stands on is counted, too.
    for line in [
        "assay_rpc_calls_total{method=\"eth_sendRawTransaction\"} 1",
        "assay_settlements_total{outcome=\"settled\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let count = |start: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap_or_else(|| panic!("no {start}: {text}")).trim().parse().unwrap()
    };
    assert!(count("assay_database_step_seconds_count{kind=\"write\"}") >= 3.0);
    assert!(count("assay_gas_balance_coins") > 1.0);
    shop.stop();

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let document = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (agreed, after) = rest.split_once(END).unwrap();
    let table = table(&metrics);
    if std::env::var_os("ASSAY_BLESS").is_some() {
        std::fs::write(&file, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert_eq!(table, agreed, "{}", file.display());
    }
}
