use assay_primitives::{Amount, Digest};
use assay_service::RequestBinding;
use assay_x402::PaymentRequirements;
use serde_json::{Map, Value, json};

fn offer() -> PaymentRequirements {
    PaymentRequirements {
        scheme: "exact".to_owned(),
        network: "eip155:31337".parse().unwrap(),
        amount: Amount(1_000),
        asset: "0x5FbDB2315678afecb367f032d93F642f64180aa3".parse().unwrap(),
        pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".parse().unwrap(),
        max_timeout_seconds: 60,
        extra: json!({ "name": "Dollar", "version": "1", "method": "signed" }).as_object().cloned(),
        other: Map::new(),
    }
}

fn binding() -> RequestBinding {
    RequestBinding {
        method: "POST".to_owned(),
        target: "/v2/models/digits/infer?x=1".to_owned(),
        body: Digest::of(b"body"),
    }
}

/// Whatever of the request, the offer or the token differs, the payment is bound to something else.
#[test]
fn every_part_counts() {
    let token = Some(Digest::of(b"token"));
    let mut digests = vec![binding().digest(&offer(), token)];
    let mut add = |digest: Digest| {
        assert!(!digests.contains(&digest), "number {} is not told apart", digests.len());
        digests.push(digest);
    };
    add(binding().digest(&offer(), None));
    add(binding().digest(&offer(), Some(Digest::of(b"other token"))));
    let request = |edit: &dyn Fn(&mut RequestBinding)| {
        let mut binding = binding();
        edit(&mut binding);
        binding.digest(&offer(), token)
    };
    add(request(&|binding| binding.method = "PUT".to_owned()));
    add(request(&|binding| binding.target.push('0')));
    add(request(&|binding| binding.target = "/v2/models/digits/infer".to_owned()));
    add(request(&|binding| binding.body = Digest::of(b"body ")));
    // A byte that moves from one part to the next.
    add(request(&|binding| {
        binding.method.push('/');
        binding.target.remove(0);
    }));
    let mut of_offer = |edit: &dyn Fn(&mut PaymentRequirements)| {
        let mut offer = offer();
        edit(&mut offer);
        add(binding().digest(&offer, token));
    };
    of_offer(&|offer| offer.scheme = "upto".to_owned());
    of_offer(&|offer| offer.network = "eip155:1".parse().unwrap());
    of_offer(&|offer| offer.amount = Amount(1_001));
    of_offer(&|offer| offer.asset = "0x01".parse().unwrap());
    of_offer(&|offer| offer.pay_to = "0x01".parse().unwrap());
    of_offer(&|offer| offer.max_timeout_seconds = 61);
    of_offer(&|offer| offer.extra = None);
    for (key, value) in [("method", "toy"), ("name", "Euro"), ("version", "2"), ("more", "1")] {
        of_offer(&|offer| {
            offer.extra.as_mut().unwrap().insert(key.to_owned(), Value::from(value));
        });
    }
    of_offer(&|offer| {
        offer.other.insert("more".to_owned(), Value::from(1));
    });
    assert_eq!(digests.len(), 20);
}

#[test]
fn the_same_request_is_bound_to_the_same() {
    let token = Some(Digest::of(b"token"));
    assert_eq!(binding().digest(&offer(), token), binding().digest(&offer(), token));
}
