//! Which shared libraries the dynamic loader would not find.

use std::path::Path;
use std::process::Command;

/// The libraries that `library` needs, directly or through others, and that the dynamic loader does
/// not find, by `ldd`. Empty where there is no `ldd` to ask (macOS, musl), since then nothing is known.
pub fn missing_libraries(library: &Path) -> Vec<String> {
    match Command::new("ldd").arg(library).output() {
        Ok(output) => not_found(&String::from_utf8_lossy(&output.stdout)),
        Err(_) => Vec::new(),
    }
}

/// The names in `ldd`'s lines `\tlibcudart.so.13 => not found`, each once.
fn not_found(output: &str) -> Vec<String> {
    let mut names: Vec<String> = output
        .lines()
        .filter_map(|line| line.trim().strip_suffix("=> not found"))
        .map(|name| name.trim().to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_found_is_listed() {
        let output = "\tlinux-vdso.so.1 (0x00007f7ce30f1000)\n\
                      \tlibcudart.so.13 => not found\n\
                      \tlibc10.so => /opt/torch/lib/libc10.so (0x00007f7ccd8d5000)\n\
                      \tlibcudart.so.13 => not found\n\
                      \tlibcupti.so.13 => not found\n";
        assert_eq!(not_found(output), ["libcudart.so.13", "libcupti.so.13"]);
    }
}
