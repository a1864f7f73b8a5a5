use super::*;
use serde_json::json;
use tch::Device;

const SPECIAL: Special = Special { pad: 0, start: 1, end: 2, unknown: None };
const HISTORIES: [&[u32]; 4] = [&[5, 6, 7, 8, 9, 10, 11], &[4, 16], &[], &[12, 12, 13]];
const REPLIES: [&[u32]; 4] = [&[4, 5], &[6, 7, 8, 9, 10], &[11], &[]];
const VOCABULARY: usize = 17;

fn config() -> Gpt2Config {
    Gpt2Config { n_positions: 12, n_embd: 8, n_layer: 2, n_head: 2, initializer_range: 0.4, ..Default::default() }
}

fn model(config: &Gpt2Config) -> (nn::VarStore, Gpt2Model) {
    let store = nn::VarStore::new(Device::Cpu);
    let model = Gpt2Model::new(&store, config, VOCABULARY, SPECIAL, 3).unwrap();
    (store, model)
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

fn batch(rows: std::ops::Range<usize>) -> Batch {
    Batch::new(&HISTORIES[rows.clone()], &REPLIES[rows], SPECIAL, Device::Cpu)
}

fn fixture() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gpt2")
}

/// The first error of loading a folder with these files.
fn load_error(config: &str, weights: &[(&str, Tensor)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    if !weights.is_empty() {
        Tensor::write_safetensors(weights, folder.path().join("model.safetensors")).unwrap();
    }
    let store = nn::VarStore::new(Device::Cpu);
    let error = Gpt2Model::from_folder(&store, folder.path(), VOCABULARY, SPECIAL, 1).err().unwrap().to_string();
    error.replace(&format!("{}/", folder.path().display()), "").replace(&folder.path().display().to_string(), "FOLDER")
}

#[test]
fn a_batch_gives_the_logits_of_its_rows() {
    let (_store, model) = model(&config());
    let together = model.logits(&batch(0..4), false).unwrap();
    let alone: Vec<Tensor> = (0..4).map(|row| model.logits(&batch(row..row + 1), false).unwrap()).collect();
    assert!(together.std(false).double_value(&[]) > 0.1);
    assert!(difference(&together, &Tensor::cat(&alone, 0)) < 1e-4);
}

#[test]
fn cached_steps_equal_teacher_forcing() {
    let (_store, model) = model(&config());
    let all = batch(0..4);
    let forced = model.logits(&all, false).unwrap().split_with_sizes(all.reply_lengths.as_slice(), 0);
    let mut state = model.start(&Batch::histories(&HISTORIES, SPECIAL, Device::Cpu)).unwrap();
    let rows = [1i64, 1, 0];
    state.select(&Tensor::from_slice(&rows));
    let mut last = Tensor::from_slice(&[1i64; 3]);
    for step in 0..3 {
        let logits = state.step(&last).unwrap();
        for (index, &row) in rows.iter().enumerate() {
            let expected = forced[row as usize].get(step);
            assert!(difference(&logits.get(index as i64), &expected) < 1e-4, "step {step} row {row}");
        }
        last = all.reply.select(1, step).index_select(0, &Tensor::from_slice(&rows));
    }
}

#[test]
fn a_row_that_outgrows_the_positions_does_not_disturb_the_others() {
    let (_store, model) = model(&config());
    // Lengths 14 (more than fit), 9 and 2; 16 steps move every window, the first one's at once.
    let long: Vec<u32> = (3..17).collect();
    let histories: [&[u32]; 3] = [&long, &long[..9], &[7, 8]];
    let steps = 16;
    let fed = |step: i64| 3 + (step * 5) % 13;
    let run = |histories: &[&[u32]]| {
        let mut state = model.start(&Batch::histories(histories, SPECIAL, Device::Cpu)).unwrap();
        let rows = histories.len() as i64;
        let logits: Vec<Tensor> = (0..steps)
            .map(|step| state.step(&Tensor::full([rows], fed(step), (Kind::Int64, Device::Cpu))).unwrap())
            .collect();
        Tensor::stack(&logits, 1)
    };
    let together = run(&histories);
    for (row, history) in histories.iter().enumerate() {
        assert!(difference(&together.get(row as i64), &run(&[history]).get(0)) < 1e-4, "row {row}");
    }
    // The third row is whole while its 2 tokens, the separator and the fed ones fit into 12 positions.
    let reply: Vec<u32> = (1..10).map(|step| fed(step) as u32).collect();
    let forced = model.logits(&Batch::new(&[&[7, 8]], &[&reply[..9]], SPECIAL, Device::Cpu), false).unwrap();
    assert!(difference(&together.get(2).narrow(0, 0, 10), &forced) < 1e-4);
}

#[test]
fn long_histories_lose_their_oldest_tokens() {
    let (_store, model) = model(&config());
    let long: Vec<u32> = (3..17).collect();
    let logits =
        |history: &[u32]| model.logits(&Batch::new(&[history], &[&[4, 5]], SPECIAL, Device::Cpu), false).unwrap();
    // 12 positions hold 9 tokens of history, the separator and the reply's 2 tokens (its end is never fed).
    assert_eq!(difference(&logits(&long), &logits(&long[5..])), 0.0);
    assert!(difference(&logits(&long), &logits(&long[6..])) > 1e-3);
    let error = model.logits(&Batch::new(&[&[4]], &[&[5; 12]], SPECIAL, Device::Cpu), false).unwrap_err().to_string();
    assert!(error.contains("13 tokens") && error.contains("12 positions"), "{error}");
}

#[test]
fn trains_every_parameter_but_the_causal_mask() {
    let (store, model) = model(&config());
    assert!(store.variables().keys().all(|name| !name.ends_with(".attn.bias")));
    assert_eq!(store.trainable_variables().len(), store.len());
    assert_eq!(store.len(), 2 * 12 + 4);
    model.logits(&batch(0..4), true).unwrap().logsumexp([1], false).sum(Kind::Float).backward();
    for (name, parameter) in store.variables() {
        assert!(parameter.grad().defined() && parameter.grad().abs().max().double_value(&[]) > 0.0, "{name}");
    }
}

#[test]
fn starts_as_gpt2_does() {
    let (store, _model) = model(&Gpt2Config { n_embd: 64, initializer_range: 0.02, ..config() });
    let parameters = store.variables();
    let deviation = |name: &str| parameters[name].std(false).double_value(&[]);
    assert!((deviation("transformer.h.1.mlp.c_fc.weight") - 0.02).abs() < 1e-3);
    assert!((deviation("transformer.h.1.mlp.c_proj.weight") - 0.01).abs() < 5e-4);
    assert!((deviation("transformer.wte.weight") - 0.02).abs() < 2e-3);
    assert_eq!(parameters["transformer.ln_f.weight"].sum(Kind::Float).double_value(&[]), 64.0);
}

#[test]
fn equals_hugging_face_transformers() {
    let store = nn::VarStore::new(Device::Cpu);
    let special = Special { pad: 31, start: 31, end: 31, unknown: None };
    let model = Gpt2Model::from_folder(&store, &fixture(), 32, special, 1).unwrap();
    let text = std::fs::read_to_string(fixture().join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let ids = |value: &serde_json::Value| serde_json::from_value::<Vec<u32>>(value.clone()).unwrap();
    for case in expected.as_array().unwrap() {
        let batch = Batch::new(&[&ids(&case["history"])], &[&ids(&case["reply"])], special, Device::Cpu);
        let logits: Vec<Vec<f64>> = serde_json::from_value(case["logits"].clone()).unwrap();
        let logits = Tensor::from_slice2(&logits);
        assert!(logits.std(false).double_value(&[]) > 0.3);
        assert!(difference(&model.logits(&batch, false).unwrap(), &logits) < 1e-5);
    }
}

#[test]
fn a_saved_model_is_restored_with_and_without_prefix() {
    let (store, saved) = model(&config());
    let folder = tempfile::tempdir().unwrap();
    saved.save(&store, folder.path()).unwrap();
    let restore = |vocabulary| {
        let store = nn::VarStore::new(Device::Cpu);
        let model = Gpt2Model::from_folder(&store, folder.path(), vocabulary, SPECIAL, 9)?;
        Ok::<_, ModelError>(model.logits(&batch(0..4), false).unwrap())
    };
    let expected = saved.logits(&batch(0..4), false).unwrap();
    assert_eq!(difference(&restore(VOCABULARY).unwrap(), &expected), 0.0);

    let bare: Vec<(String, Tensor)> =
        store.variables().into_iter().map(|(name, value)| (name.replace("transformer.", ""), value)).collect();
    Tensor::write_safetensors(&bare, folder.path().join("model.safetensors")).unwrap();
    assert_eq!(difference(&restore(VOCABULARY).unwrap(), &expected), 0.0);

    // rust-bert's archive has the masks of every layer too.
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let mut archive: Vec<(String, Tensor)> = store.variables().into_iter().collect();
    archive.push(("transformer.h.0.attn.bias".into(), Tensor::zeros([1, 1, 2, 2], (Kind::Float, Device::Cpu))));
    Tensor::save_multi(&archive, folder.path().join("rust_model.ot")).unwrap();
    assert_eq!(difference(&restore(VOCABULARY).unwrap(), &expected), 0.0);

    // Special tokens may have been added to the vocabulary; another vocabulary is refused.
    assert!(difference(&restore(VOCABULARY + 2).unwrap().narrow(1, 0, VOCABULARY as i64), &expected) < 1e-6);
    for vocabulary in [VOCABULARY - 1, VOCABULARY + 17] {
        let error = restore(vocabulary).unwrap_err().to_string();
        assert!(error.contains("transformer.wte.weight") && error.contains("[17, 8]"), "{error}");
    }
}

#[test]
fn bad_folders_name_what_is_wrong() {
    let config = json!({"n_positions": 4, "n_embd": 4, "n_layer": 1, "n_head": 1}).to_string();
    assert_eq!(load_error(&config, &[]), "FOLDER: holds neither model.safetensors nor rust_model.ot");
    let ones = |size: &[i64]| Tensor::ones(size, (Kind::Float, Device::Cpu));
    assert_eq!(
        load_error(&config, &[("wte.weight", ones(&[17, 4]))]),
        "model.safetensors: tensor transformer.h.0.attn.c_attn.bias is missing (with or without its prefix \"transformer.\")"
    );
    assert_eq!(
        load_error(&config, &[("h.0.attn.c_attn.bias", ones(&[3]))]),
        "model.safetensors: tensor transformer.h.0.attn.c_attn.bias has shape [3], but the configuration and vocabulary need [12]"
    );
    assert_eq!(
        load_error(&config, &[("wte.weight", ones(&[17, 4])), ("lm_head.weight", ones(&[17, 4]) * 2.0)]),
        "model.safetensors: lm_head.weight differs from transformer.wte.weight; only tied output embeddings are supported"
    );
    assert_eq!(load_error("{\"n_head\": 5}", &[]), "config.json: n_embd is 768, but should be a multiple of n_head, 5");
    assert!(
        load_error("{\n\"n_head\": \"5\"}", &[])
            .starts_with("config.json: invalid type: string \"5\", expected i64 at line 2")
    );
    assert!(
        load_error("{\"activation_function\": \"gelu\"}", &[])
            .contains("activation_function is gelu, but should be gelu_new")
    );
    assert!(load_error("{\"model_type\": \"bert\"}", &[]).contains("model_type is bert, but should be gpt2"));
    assert!(
        load_error("{\"tie_word_embeddings\": false}", &[])
            .contains("tie_word_embeddings is false, but should be true")
    );

    let store = nn::VarStore::new(Device::Cpu);
    let error = Gpt2Model::new(&store, &self::config(), 2, SPECIAL, 1).err().unwrap().to_string();
    assert!(error.contains("end: 2") && error.contains("below the vocabulary's size, 2"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let load = || {
        let store = nn::VarStore::new(Device::Cpu);
        Gpt2Model::from_folder(&store, folder.path(), VOCABULARY, SPECIAL, 1).err().unwrap().to_string()
    };
    assert!(load().contains("config.json: No such file"));
    std::fs::write(folder.path().join("config.json"), &config).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), "not weights").unwrap();
    assert!(load().contains("model.safetensors: not readable as weights"));
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    std::fs::write(folder.path().join("rust_model.ot"), "not weights").unwrap();
    assert!(load().contains("rust_model.ot: not readable as weights"));
}
