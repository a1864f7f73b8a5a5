//! `cargo xtask setup`: a libtorch for this checkout.

use std::fs;
use std::iter;
use std::path::Path;

use anyhow::{Context, Result};

use crate::cli::SetupOptions;
use crate::fetch;
use crate::libtorch::{self, Libtorch, Need};
use crate::link;
use crate::places;
use crate::python;
use crate::resolve::{self, Candidate, Source};

/// Finds or fetches a libtorch and makes `.libtorch` point to it.
///
/// # Errors
/// LIBTORCH of the environment is unusable, or nothing was found and fetching failed.
pub fn run(options: &SetupOptions) -> Result<()> {
    let libtorch = obtain(options)?;
    eprintln!("Using {}", libtorch.description());
    Ok(())
}

/// The same for the commands that need a libtorch: silent if there is nothing to do.
///
/// # Errors
/// As [`run`].
pub fn ensure() -> Result<()> {
    obtain(&SetupOptions::default()).map(|_| ())
}

fn obtain(options: &SetupOptions) -> Result<Libtorch> {
    let need = if options.cuda { Need::Cuda } else { Need::Cpu };
    let choice = resolve::choose(candidates(options), |folder| libtorch::inspect(folder, need))?;
    for (candidate, reason) in &choice.passed_over {
        // Not worth a word: an installation that was never made.
        if candidate.source != Source::Cache || candidate.folder.exists() {
            eprintln!("Not using {} ({}): {reason}", candidate.source, candidate.folder.display());
        }
    }
    let found = match choice.found {
        Some((Source::Link, libtorch)) => return Ok(libtorch),
        Some((Source::Environment, libtorch)) => {
            // The link is for builds without LIBTORCH; one that serves them is left alone.
            let linked = libtorch::inspect(&places::link(), need);
            if linked.is_ok() && !options.force {
                return Ok(libtorch);
            }
            libtorch
        }
        Some((_, libtorch)) => libtorch,
        None => fetch::fetch(need)?,
    };
    point_link(&found.folder)?;
    Ok(found)
}

fn point_link(folder: &Path) -> Result<()> {
    // Resolved, so that a path through the link itself cannot make it point to itself.
    let folder = fs::canonicalize(folder).with_context(|| format!("cannot resolve the path {}", folder.display()))?;
    link::point(&places::link(), &folder)?;
    eprintln!("Linked .libtorch to {}", folder.display());
    Ok(())
}

/// Where a libtorch may be, in the order of [`Source`]; Pythons are asked only if it comes to them.
fn candidates(options: &SetupOptions) -> impl Iterator<Item = Candidate> + use<> {
    let candidate = |source, folder| Candidate { source, folder };
    let environment = places::libtorch_of_environment().map(|folder| candidate(Source::Environment, folder));
    let link = places::link();
    let link = (!options.force && link::exists(&link)).then(|| candidate(Source::Link, link));
    let mut seen = Vec::new();
    let pythons = iter::once_with(python::interpreters).flatten().filter_map(move |program| {
        let folder = python::torch_folder(&program)?;
        // `python3`, `python` and the active environment's are often the same one.
        if seen.contains(&folder) {
            return None;
        }
        seen.push(folder.clone());
        Some(candidate(Source::Python(program), folder))
    });
    // One for GPUs runs on CPUs as well, but not the other way round.
    let fetched = if options.cuda { &[Need::Cuda][..] } else { &[Need::Cpu, Need::Cuda] };
    let cached = places::cache().into_iter().flat_map(move |cache| {
        fetched.iter().map(move |need| {
            let installation = places::installation(&cache, *need);
            candidate(Source::Cache, places::libtorch_in(&installation))
        })
    });
    environment.into_iter().chain(link).chain(pythons).chain(cached)
}
