//! The fused softmax head beside one copy of its logits: `cargo bench -p imbalance-core`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use imbalance_core::host::{Loss, Plugin, SoftmaxHead};
use imbalance_core::{ClassCounts, Head};

#[path = "../../plugins/eureka/src/lib.rs"]
#[allow(dead_code, missing_docs, reason = "the plugin's own source, built into the benchmark")]
mod eureka;

/// A class distribution after Zipf's law.
fn counts(classes: usize) -> ClassCounts {
    ClassCounts::new((1..=classes as u64).map(|rank| 300_000 / rank + 1).collect()).expect("counts")
}

fn heads(criterion: &mut Criterion) {
    // The paper's dialogue head, its ImageNet-LT head and its CIFAR head.
    for (rows, classes) in [(1280, 18848), (512, 1000), (128, 10)] {
        let plugin = Arc::new(Plugin::embedded(&eureka::toolkit_loss_plugin).expect("plugin"));
        let loss = Loss::new(plugin, Head::Softmax, &[("beta".into(), 0.999)], &counts(classes)).expect("loss");
        let head = SoftmaxHead::new(&loss);
        let logits: Vec<f32> = (0..rows * classes).map(|i| ((i * 7919) % 1013) as f32 * 0.01 - 5.0).collect();
        let targets: Vec<i64> = (0..rows).map(|row| ((row * 31) % classes) as i64).collect();
        let (mut value, mut log_odds) = (vec![0.0; rows], vec![0.0; rows]);
        let mut gradient = vec![0.0; logits.len()];
        let mut group = criterion.benchmark_group(format!("softmax_head/{rows}x{classes}"));
        group.throughput(Throughput::Bytes(logits.len() as u64 * 4)).sample_size(20);
        group.bench_function("copy_of_logits", |bencher| bencher.iter(|| gradient.copy_from_slice(black_box(&logits))));
        group.bench_function("forward", |bencher| {
            bencher.iter(|| head.forward(black_box(&logits), &targets, &mut value, &mut log_odds).expect("head"));
        });
        group.bench_function("forward_backward", |bencher| {
            bencher.iter(|| {
                head.forward_backward(black_box(&logits), &targets, &mut value, &mut log_odds, &mut gradient)
                    .expect("head")
            });
        });
        group.bench_function("forward_backward_in_place", |bencher| {
            // The gradient of one call is the logits of the next: finite, and as long to compute.
            bencher.iter(|| {
                head.forward_backward_in_place(black_box(&mut gradient), &targets, &mut value, &mut log_odds)
                    .expect("head")
            });
        });
    }
}

criterion_group!(benches, heads);
criterion_main!(benches);
