use assay_primitives::{Amount, AmountError, Method};
use assay_service::{PriceError, PriceList};

const ASSETS: &str = r#"
[assets.usd]
id = "eip155:31337/erc20:0x5FbDB2315678afecb367f032d93F642f64180aa3"
decimals = 6
name = "Dollar"
version = "1"

[assets.eur]
id = "eip155:31337/erc20:0x036CbD53842c5426634e7929541eC2318f3dCF7e"
decimals = 2
name = "Euro"
version = "2"
"#;

fn price(model: &str, method: &str, asset: &str, amount: &str) -> String {
    format!(
        "[[prices]]\nmodel = \"{model}\"\nmethod = \"{method}\"\nasset = \"{asset}\"\n\
         amount = \"{amount}\"\n"
    )
}

fn read(prices: &str) -> Result<PriceList, PriceError> {
    PriceList::from_toml(&format!("{prices}{ASSETS}"))
}

fn error(prices: &str) -> PriceError {
    read(prices).unwrap_err()
}

#[test]
fn a_price_may_say_how_long_its_seller_asks_for() {
    let text = price("m", "signed", "usd", "1") + "timeout_floor_ms = 750\n";
    let list = read(&text).unwrap();
    assert_eq!(list.of_model("m").next().unwrap().timeout_floor_ms, Some(750));
    assert_eq!(
        read(&price("m", "signed", "usd", "1")).unwrap().iter().next().unwrap().timeout_floor_ms,
        None
    );
    let wrong = price("m", "signed", "usd", "1") + "timeout_floor_ms = -1\n";
    assert!(matches!(error(&wrong), PriceError::Toml(_)));
}

#[test]
fn amounts_are_exact() {
    for (text, units) in
        [("0.001", 1_000), ("12", 12_000_000), ("0.000001", 1), ("1.500000000", 1_500_000)]
    {
        let list = read(&price("m", "signed", "usd", text)).unwrap();
        assert_eq!(list.of_model("m").next().unwrap().amount, Amount(units));
    }
    for text in ["0.0000001", "1e-3", "-1", "", "1,5", "0x1", " 1"] {
        let refused = error(&price("m", "signed", "usd", text));
        assert!(matches!(refused, PriceError::Amount { .. }), "{text}: {refused}");
    }
    let inexact = error(&price("m", "signed", "eur", "0.001"));
    let PriceError::Amount { error: AmountError::Inexact { decimals: 2, .. }, .. } = inexact else {
        panic!("{inexact}");
    };
    for text in ["0", "0.0", "0.000000"] {
        let refused = error(&price("m", "signed", "usd", text));
        assert!(matches!(refused, PriceError::Free { .. }), "{text}: {refused}");
    }
}

#[test]
fn the_order_is_the_operators() {
    let text = [
        price("b", "zkml", "usd", "3"),
        price("a", "signed", "eur", "2"),
        price("b", "signed", "usd", "1"),
        price("b", "signed", "eur", "1"),
    ]
    .concat();
    let list = read(&text).unwrap();
    let all: Vec<_> = list.iter().map(|price| (price.model.as_str(), &price.method)).collect();
    let zkml = Method::ZKML;
    assert_eq!(
        all,
        [("b", &zkml), ("a", &Method::SIGNED), ("b", &Method::SIGNED), ("b", &Method::SIGNED)]
    );
    let of_b: Vec<_> = list.of_model("b").map(|price| price.amount).collect();
    assert_eq!(of_b, [Amount(3_000_000), Amount(1_000_000), Amount(100)]);
    assert_eq!(list.of_model("c").count(), 0);
}

#[test]
fn what_is_wrong_is_named() {
    let twice = price("m", "signed", "usd", "1") + &price("m", "signed", "usd", "2");
    assert!(matches!(error(&twice), PriceError::Twice { .. }));
    let unknown = error(&price("m", "signed", "yen", "1"));
    assert!(matches!(&unknown, PriceError::Asset { asset, .. } if asset == "yen"), "{unknown}");
    assert!(matches!(error("[[price]]\n"), PriceError::Toml(_)));
    assert!(matches!(error(&price("m", "Signed!", "usd", "1")), PriceError::Toml(_)));
    let extra = price("m", "signed", "usd", "1") + "discount = \"10 %\"\n";
    assert!(error(&extra).to_string().contains("unknown field `discount`"));
    for field in ["name", "version"] {
        let value = if field == "name" { "Dollar" } else { "1" };
        let assets =
            ASSETS.replacen(&format!("{field} = \"{value}\""), &format!("{field} = \"\""), 1);
        let text = format!("{}{assets}", price("m", "signed", "usd", "1"));
        let refused = PriceList::from_toml(&text).unwrap_err();
        assert!(
            matches!(&refused, PriceError::Domain { field: f, .. } if *f == field),
            "{refused}"
        );
    }
    let broken = ASSETS.replacen("eip155:31337/erc20", "eip155/erc20", 1);
    assert!(matches!(PriceList::from_toml(&broken), Err(PriceError::Toml(_))));
}
