//! Pitfall 8: a GPU counts where its evidence answers the evidence of the machine's CPU.

use super::*;
use crate::nvidia::made::Gpu;

/// A machine with GPUs, whose roots are accepted.
fn with_gpus(gpus: &[Gpu]) -> Machine {
    let mut machine = Machine::new();
    for gpu in gpus {
        machine.roots = machine.roots.with_development(gpu.root());
    }
    machine
}

fn nonce(attestation: &KeyAttestation) -> [u8; 32] {
    gpu_nonce(&attestation.binding.digest(), attestation.evidence.digest())
}

#[test]
fn gpus_of_the_machine_are_accepted_and_told_of() {
    let gpus = [Gpu::good(), Gpu::good()];
    let machine = with_gpus(&gpus);
    let mut attestation = machine.attest(sample());
    attestation.gpus = gpus.iter().map(|gpu| gpu.evidence(nonce(&attestation))).collect();
    let attested = machine.accepts(&attestation, NOW);
    assert_eq!(attested.gpus().len(), 2);
    assert!(attested.gpus().iter().all(|gpu| gpu.strength == Strength::SignatureOnly));
    assert!(attested.is_simulated());
}

#[test]
fn a_gpu_of_another_machine_is_refused() {
    let gpus = [Gpu::good()];
    let (machine, other) = (with_gpus(&gpus), Machine::new());
    let attestation = machine.attest(sample());
    let digest = sample().digest();
    let mut other_binding = sample();
    other_binding.not_after = other_binding.not_after.minus(SECOND);
    let foreign = other.attest(sample());
    for wrong in [
        // What another CPU with the same binding was answered, and the same CPU with another binding.
        gpu_nonce(&digest, foreign.evidence.digest()),
        gpu_nonce(&other_binding.digest(), attestation.evidence.digest()),
        // What depends on the CPU's evidence or the binding alone, or on neither.
        tpm_extra_data(&digest),
        attestation.evidence.digest().0,
        [0; 32],
    ] {
        let evidence = vec![gpus[0].evidence(wrong)];
        let attestation = KeyAttestation { gpus: evidence, ..attestation.clone() };
        machine.refuses(&attestation, NOW, Check::BindingGpu);
    }
    // One of two is enough.
    let evidence = vec![gpus[0].evidence(nonce(&attestation)), gpus[0].evidence([0; 32])];
    machine.refuses(&KeyAttestation { gpus: evidence, ..attestation }, NOW, Check::BindingGpu);
}

/// The CPU's evidence made anew is another: the GPU's would have to be made anew as well.
#[test]
fn a_gpus_evidence_is_of_one_evidence_of_the_cpu() {
    let gpus = [Gpu::good()];
    let machine = with_gpus(&gpus);
    let attestation = machine.attest(sample());
    let evidence = vec![gpus[0].evidence(nonce(&attestation))];
    machine.accepts(&KeyAttestation { gpus: evidence.clone(), ..attestation }, NOW);
    let again = KeyAttestation { gpus: evidence, ..machine.attest(sample()) };
    machine.refuses(&again, NOW, Check::BindingGpu);
}

#[test]
fn no_gpu_is_counted_twice() {
    let gpus = [Gpu::good()];
    let machine = with_gpus(&gpus);
    let mut attestation = machine.attest(sample());
    // Each report is signed anew.
    attestation.gpus = (0..2).map(|_| gpus[0].evidence(nonce(&attestation))).collect();
    machine.refuses(&attestation, NOW, Check::BindingGpu);
}

#[test]
fn only_a_gpu_stands_for_one() {
    let machine = Machine::new();
    let mut attestation = machine.attest(sample());
    let nonce = nonce(&attestation);
    // A module that signs what a GPU should.
    attestation.gpus = vec![machine.nitro.sign(&nonce, b"", None).unwrap()];
    machine.refuses(&attestation, NOW, Check::BindingGpu);
}

#[test]
fn a_gpus_chain_is_checked_as_any() {
    let gpus = [Gpu::good()];
    let machine = Machine::new();
    let mut attestation = machine.attest(sample());
    attestation.gpus = vec![gpus[0].evidence(nonce(&attestation))];
    let refusal = machine.judge(&attestation, NOW, None).unwrap_err();
    assert_eq!(refusal.check, Check::ChainRoot);
    // Its certificates end before the CPU's do.
    let machine = Machine { roots: machine.roots.with_development(gpus[0].root()), ..machine };
    let hour = 2 * EPOCH;
    let epoch = (NOW.plus(hour).plus(SECOND), NOW.plus(2 * hour));
    let binding = KeyBinding { not_before: epoch.0, not_after: epoch.1, ..sample() };
    let mut late = machine.attest_at(epoch.0, binding);
    late.gpus = vec![gpus[0].evidence(nonce(&late))];
    machine.refuses(&late, epoch.0, Check::ChainValidity);
}

#[test]
fn there_are_sixteen_at_most() {
    let gpus: Vec<Gpu> = (0..=MAX_GPUS).map(|_| Gpu::good()).collect();
    let machine = with_gpus(&gpus);
    let mut attestation = machine.attest(sample());
    attestation.gpus = gpus.iter().map(|gpu| gpu.evidence(nonce(&attestation))).collect();
    machine.refuses(&attestation, NOW, Check::EvidenceSize);
    attestation.gpus.pop();
    assert_eq!(machine.accepts(&attestation, NOW).gpus().len(), MAX_GPUS);
}

/// A GPU alone isolates nothing: it is no evidence for a key.
#[test]
fn a_gpu_does_not_stand_for_the_cpu() {
    let gpus = [Gpu::good()];
    let machine = with_gpus(&gpus);
    let digest = sample().digest();
    let evidence = gpus[0].evidence(tpm_extra_data(&digest));
    let attestation = KeyAttestation::new(sample(), evidence);
    assert_eq!(machine.judge(&attestation, NOW, None).unwrap_err().check, Check::BindingKey);
    let then = machine.judge(&attestation, NOW, Some(Check::BindingKey)).unwrap_err();
    assert_eq!(then.check, Check::PolicyStrength);
}
