use super::*;
use clap::Parser;

#[derive(Parser)]
#[command(args_override_self = true)]
struct Cli {
    #[command(flatten)]
    train: TrainFlags,
}

fn parse(arguments: &str) -> Result<TrainFlags, String> {
    Cli::try_parse_from(std::iter::once("toolkit").chain(arguments.split_whitespace()))
        .map(|cli| cli.train)
        .map_err(|error| error.to_string())
}

fn resolve(arguments: &str) -> Result<TrainConfig, String> {
    parse(arguments)?.resolve().map_err(|error| error.to_string())
}

#[test]
fn defaults_are_plain_sgd() {
    let config = resolve("").unwrap();
    assert_eq!(config.schedule.decay, Decay::Constant);
    assert_eq!(config.clip_norm, None);
    assert_eq!(config.phase(1), crate::task::LossPhase::Main);
}

#[test]
fn the_paper_dialogue_settings() {
    let config = resolve(
        "--epochs 30 --lr 3 --clip-norm 0.1 --schedule plateau --plateau-patience 3 --patience 5 --defer-epochs 5",
    )
    .unwrap();
    assert_eq!(config.clip_norm, Some(0.1));
    assert_eq!(config.schedule.decay, Decay::Plateau(PlateauConfig { patience: 3, factor: 0.5 }));
    assert_eq!(config.phase(5), crate::task::LossPhase::Base);
    assert_eq!(config.phase(6), crate::task::LossPhase::Main);
}

#[test]
fn the_deferred_sampler_is_the_same_unless_given() {
    let plan = |arguments| parse(arguments).unwrap().sampling();
    assert_eq!((plan("").sampler, plan("").deferred), (Sampler::Uniform, Sampler::Uniform));
    assert_eq!(plan("--sampler reversed").deferred, Sampler::Reversed);
    let rs = plan("--epochs 200 --defer-epochs 160 --defer-sampler inverse-effective --sampler-beta 0.999");
    let expected = (Sampler::Uniform, Sampler::InverseEffective, 0.999, 160, 200);
    assert_eq!((rs.sampler, rs.deferred, rs.beta, rs.defer_epochs, rs.epochs), expected);
}

#[test]
fn a_rate_for_one_batch_becomes_that_of_another() {
    // 0.1 for 256; 512·4 examples a step are 8 times as many, to which the warm-up rises from 0.1.
    let config = resolve("--lr 0.1 --lr-batch 256 --batch-size 512 --accumulate 4 --warmup-epochs 2").unwrap();
    assert_eq!((config.schedule.lr, config.schedule.start), (0.8, 0.1));
    let smaller = resolve("--lr 0.1 --lr-batch 256 --batch-size 64 --warmup-epochs 2").unwrap();
    assert_eq!((smaller.schedule.lr, smaller.schedule.start), (0.025, 0.0));
    assert_eq!(resolve("--lr 0.1 --batch-size 512").unwrap().schedule.lr, 0.1);
}

#[test]
fn adamw_with_its_settings() {
    let config =
        resolve("--optimizer adamw --adam-betas 0.8,0.95 --adam-epsilon 1e-6 --weight-decay 0.05").unwrap();
    let want = AdamWConfig { betas: [0.8, 0.95], epsilon: 1e-6, weight_decay: 0.05 };
    assert_eq!(config.rule, Rule::AdamW(want));
}

#[test]
fn a_later_list_replaces_an_earlier_one() {
    let flags = parse("--step-epochs 160,180 --step-epochs 3,4").unwrap();
    assert_eq!(flags.step_epochs, Some(EpochList(vec![3, 4])));
}

#[test]
fn each_bad_value_is_refused_with_what_would_be_right() {
    for (arguments, flag, must) in [
        ("--epochs 0", "--epochs", "at least 1"),
        ("--warmup-steps -1", "--warmup-steps", "invalid"),
        ("--batch-size -1", "--batch-size", "at least 1"),
        ("--lr 0", "--lr", "above 0"),
        ("--lr nan", "--lr", "above 0"),
        ("--lr inf", "--lr", "above 0"),
        ("--momentum 1", "--momentum", "from 0 to below 1"),
        ("--weight-decay=-1e-4", "--weight-decay", "0 or more"),
        ("--clip-norm x", "--clip-norm", "0 or more"),
        ("--step-epochs 0", "--step-epochs", "from 1"),
        ("--step-epochs 5,,6", "--step-epochs", "from 1"),
        ("--step-factor 1", "--step-factor", "between 0 and 1"),
        ("--plateau-factor 0", "--plateau-factor", "between 0 and 1"),
        ("--threads 0", "--threads", "at least 1"),
        ("--adam-betas 0.9", "--adam-betas", "0.9,0.999"),
        ("--adam-betas 0.9,1", "--adam-betas", "from 0 to below 1"),
        ("--optimiser adam", "--optimiser", "sgd, adamw"),
        ("--ema-decay 1", "--ema-decay", "from 0 to below 1"),
        ("--layer-lr encoder", "--layer-lr", "as in encoder=0.1"),
        ("--freeze a,,b", "--freeze", "encoder,embedding"),
        ("--device gpu", "--device", "cuda:0"),
        ("--precision half", "--precision", "bfloat16, float16"),
        ("--processes 0", "--processes", "at least 1"),
        ("--backend mpi", "--backend", "auto, gloo, nccl"),
        ("--seed 9223372036854775808", "--seed", "9223372036854775807"),
        ("--schedule linear", "--schedule", "constant, step, cosine, plateau"),
        (
            "--sampler balanced",
            "--sampler",
            "class-balanced, inverse-effective, square-root, progressive, reversed",
        ),
        ("--defer-sampler x", "--defer-sampler", "uniform"),
        ("--sampler-beta 1", "--sampler-beta", "from 0 to below 1"),
        ("--resume", "--run", "required"),
        ("--run x --resume --overwrite", "--overwrite", "cannot be used with"),
    ] {
        let error = parse(arguments).expect_err(arguments);
        assert!(error.contains(flag) && error.contains(must), "{arguments}: {error}");
    }
}

#[test]
fn contradicting_flags_are_refused_by_name() {
    for (arguments, parts) in [
        ("--epochs 5 --defer-epochs 5", ["--defer-epochs 5", "--epochs 5"]),
        ("--lr 0.1 --min-lr 0.2", ["--min-lr 0.2", "--lr 0.1"]),
        ("--warmup-epochs 2 --warmup-steps 10", ["--warmup-epochs", "--warmup-steps"]),
        ("--epochs 2 --warmup-epochs 3", ["--warmup-epochs 3", "--epochs 2"]),
        ("--schedule step", ["--schedule step", "--step-epochs 160,180"]),
        ("--schedule step --step-epochs 4,3", ["--step-epochs", "ascend"]),
        ("--nesterov --momentum 0", ["--nesterov", "--momentum"]),
        ("--defer-sampler class-balanced", ["--defer-sampler class-balanced", "--defer-epochs, which is 0"]),
    ] {
        let error = resolve(arguments).expect_err(arguments);
        assert!(parts.iter().all(|part| error.contains(part)), "{arguments}: {error}");
    }
}

#[test]
fn serialises_to_the_keys_of_a_recipe() {
    let flags = parse("--run r --step-epochs 160,180 --schedule step --threads 2").unwrap();
    let text = toml::to_string(&flags).unwrap();
    for line in ["batch-size = 64", "step-epochs = [160, 180]", "schedule = \"step\"", "threads = 2"] {
        assert!(text.lines().any(|l| l == line), "{line} is not in:\n{text}");
    }
    assert!(!text.contains("run") && !text.contains("resume") && !text.contains("defer-sampler"));
    let sampled = toml::to_string(&parse("--sampler square-root --defer-sampler progressive").unwrap()).unwrap();
    for line in ["sampler = \"square-root\"", "defer-sampler = \"progressive\"", "sampler-beta = 0.9999"] {
        assert!(sampled.lines().any(|l| l == line), "{line} is not in:\n{sampled}");
    }
    toml::to_string(&parse("").unwrap()).unwrap();
}
