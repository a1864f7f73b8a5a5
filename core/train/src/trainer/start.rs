//! What a training starts from: the first process's weights, or the last checkpoint.

use std::path::PathBuf;

use crate::average::Average;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::error::{FileError, TrainError};
use crate::group::Group;
use crate::optimiser::Optimiser;
use crate::run_folder::RunFolder;
use crate::state::TrainState;
use crate::task::Task;

/// Gives every process the first one's weights.
pub(super) fn start_alike(task: &dyn Task, average: Option<&mut Average>, group: &Group) -> Result<(), TrainError> {
    if group.size() == 1 {
        return Ok(());
    }
    group.broadcast_variables(task.variables(), |_| true)?;
    match average {
        Some(average) => Ok(average.start()?),
        None => Ok(()),
    }
}

/// Loads the last checkpoint of the run folder, which the first process reads, into all.
pub(super) fn restore(
    task: &dyn Task,
    optimiser: &mut Optimiser,
    average: Option<&mut Average>,
    run: Option<&RunFolder>,
    group: &Group,
) -> Result<TrainState, TrainError> {
    let read = run.map(read_last).transpose()?;
    let checkpoint = match (read, group.size()) {
        (Some(checkpoint), 1) => checkpoint,
        (read, _) => {
            let path = read.as_ref().map_or_else(|| PathBuf::from("checkpoint"), |read| read.path().to_owned());
            let bytes = group.broadcast_bytes(read.map_or_else(Vec::new, |read| read.bytes().to_vec()))?;
            Checkpoint::from_bytes(&path, bytes)?
        }
    };
    checkpoint.load(task.variables(), optimiser, average)?;
    let state = checkpoint.state();
    // Each process goes on with its own where there are as many as before.
    let accumulated = match group.rank() {
        rank if rank > 0 && state.losses_of_others.len() + 1 == group.size() => &state.losses_of_others[rank - 1],
        _ => &state.losses,
    };
    for (name, loss) in task.losses() {
        if let Some(digits) = accumulated.get(name) {
            let bytes =
                bytes_of(digits).ok_or_else(|| checkpoint.mismatch(format!("the state of {name} is damaged")))?;
            loss.restore(&bytes).map_err(|error| checkpoint.mismatch(error.to_string()))?;
        }
    }
    Ok(state.clone())
}

/// The last checkpoint, or the one before it when the last is damaged, which then is set aside.
fn read_last(run: &RunFolder) -> Result<Checkpoint, TrainError> {
    let (last, previous) = (run.last_checkpoint(), run.previous_checkpoint());
    let (checkpoint, damaged) = match Checkpoint::read(&last) {
        Ok(checkpoint) => (checkpoint, None),
        Err(error) if previous.exists() => {
            let checkpoint = Checkpoint::read(&previous).map_err(|second| {
                let reason = format!("{error}; {second}; start the run again with --overwrite");
                CheckpointError::Damaged { path: run.checkpoints(), reason }
            })?;
            (checkpoint, Some(error))
        }
        Err(error) => return Err(error.into()),
    };
    if checkpoint.state().settings != run.settings_hash() {
        return Err(checkpoint.mismatch("it was written with other settings than this run's".into()).into());
    }
    if let Some(error) = damaged {
        eprintln!("warning: {error}; going on from {}", previous.display());
        if last.exists() {
            // Under its name the next checkpoint would move it into the place of the one that is whole.
            let aside = last.with_file_name("damaged.safetensors");
            std::fs::rename(&last, &aside).map_err(FileError::on("move", &last))?;
        }
    }
    Ok(checkpoint)
}

/// The bytes of an even number of hexadecimal digits.
fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if rest.is_empty() { pairs.iter().map(pair).collect() } else { None }
}
