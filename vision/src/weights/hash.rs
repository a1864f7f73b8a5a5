//! Telling weights apart.

use sha2::{Digest, Sha256};
use tch::TchError;
use tch::nn::VarStore;

use super::storage;

/// SHA-256 of the names, shapes and values of all variables, running statistics among them, in lower-case hexadecimal.
///
/// # Errors
/// libtorch's.
pub(crate) fn sha256(store: &VarStore) -> Result<String, TchError> {
    let mut named: Vec<_> = store.variables().into_iter().collect();
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut hash = Sha256::new();
    for (name, variable) in named {
        hash.update(format!("{name} {:?} {:?}\n", variable.kind(), variable.size()));
        hash.update(storage::bytes(&variable)?);
    }
    Ok(crate::data::hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn any_value_and_any_name_counts() {
        let made = |names: &[&str], value: f64| {
            let store = VarStore::new(Device::Cpu);
            for name in names {
                let _ = store.root().var(name, &[2], tch::nn::Init::Const(value));
            }
            sha256(&store).unwrap()
        };
        let one = made(&["a", "b"], 1.0);
        assert_eq!(one.len(), 64);
        assert_eq!(one, made(&["b", "a"], 1.0));
        assert_ne!(one, made(&["a", "b"], 1.0 + 1e-6));
        assert_ne!(one, made(&["a", "c"], 1.0));
    }
}
