//! Weights in Detectron2's layout, renamed to torchvision's.

use std::collections::BTreeMap;

use tch::{TchError, Tensor};

/// What a model file says beside weights.
const NO_WEIGHTS: [&str; 3] = ["anchor_generator.", "pixel_mean", "pixel_std"];

/// The tensors of a file under torchvision's names, if it has Detectron2's, and else as they are. Detectron2 has the shapes of a
/// position scale by scale and then ratio by ratio, torchvision the other way around; `scales` and `ratios` are their numbers.
///
/// # Errors
/// libtorch's.
pub(crate) fn translated(
    file: BTreeMap<String, Tensor>,
    scales: usize,
    ratios: usize,
) -> Result<BTreeMap<String, Tensor>, TchError> {
    if !file.keys().any(|name| name.contains("stem.conv1.")) {
        return Ok(file);
    }
    let translate = |(name, values): (String, Tensor)| {
        let plain = name.strip_prefix("model.").unwrap_or(&name);
        if NO_WEIGHTS.iter().any(|start| plain.starts_with(start)) {
            return None;
        }
        let Some(new) = torchvision_name(plain) else { return Some(Ok((name, values))) };
        let per_shape = new.contains("cls_logits.") || new.contains("bbox_reg.");
        let values = if per_shape { ratio_by_ratio(&values, scales, ratios) } else { Ok(values) };
        Some(values.map(|values| (new, values)))
    };
    file.into_iter().filter_map(translate).collect()
}

/// torchvision's name for Detectron2's; `None` for what is not of a ResNet, a pyramid or RetinaNet's head.
fn torchvision_name(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("head.") {
        let (part, rest) = rest.split_once('.')?;
        return Some(match part {
            "cls_score" => format!("head.classification_head.cls_logits.{rest}"),
            "bbox_pred" => format!("head.regression_head.bbox_reg.{rest}"),
            "cls_subnet" => format!("head.classification_head.conv.{}", of_tower(rest)?),
            "bbox_subnet" => format!("head.regression_head.conv.{}", of_tower(rest)?),
            _ => return None,
        });
    }
    let rest = name.strip_prefix("backbone.").unwrap_or(name);
    if let Some(rest) = rest.strip_prefix("top_block.") {
        return Some(format!("backbone.fpn.extra_blocks.{rest}"));
    }
    for (theirs, ours) in [("fpn_lateral", "inner_blocks"), ("fpn_output", "layer_blocks")] {
        if let Some(rest) = rest.strip_prefix(theirs) {
            let (level, rest) = rest.split_once('.')?;
            let place = level.parse::<usize>().ok()?.checked_sub(3)?;
            return Some(format!("backbone.fpn.{ours}.{place}.0.{rest}"));
        }
    }
    let rest = rest.strip_prefix("bottom_up.").unwrap_or(rest);
    let body = match rest.strip_prefix("stem.") {
        Some(rest) => of_convolution(rest)?,
        None => {
            let (stage, rest) = rest.strip_prefix("res")?.split_once('.')?;
            let (block, rest) = rest.split_once('.')?;
            let layer = stage.parse::<usize>().ok()?.checked_sub(1)?;
            format!("layer{layer}.{block}.{}", of_convolution(rest)?)
        }
    };
    Some(format!("backbone.body.{body}"))
}

/// `conv2.norm.bias` is `bn2.bias`, `shortcut.weight` is `downsample.0.weight`.
fn of_convolution(name: &str) -> Option<String> {
    let (convolution, rest) = name.split_once('.')?;
    Some(match (convolution, rest.strip_prefix("norm.")) {
        ("shortcut", Some(rest)) => format!("downsample.1.{rest}"),
        ("shortcut", None) => format!("downsample.0.{rest}"),
        (_, Some(rest)) => format!("bn{}.{rest}", convolution.strip_prefix("conv")?),
        (_, None) => name.to_owned(),
    })
}

/// Convolutions lie at every other place, ReLUs between them.
fn of_tower(name: &str) -> Option<String> {
    let (place, rest) = name.split_once('.')?;
    Some(format!("{}.0.{rest}", place.parse::<usize>().ok()? / 2))
}

/// Output channels `[scale, ratio, …]` as `[ratio, scale, …]`; those of another number as they are, whose shape will be reported.
fn ratio_by_ratio(values: &Tensor, scales: usize, ratios: usize) -> Result<Tensor, TchError> {
    let size = values.size();
    let (scales, ratios) = (scales as i64, ratios as i64);
    if size.first().is_none_or(|channels| channels % (scales * ratios) != 0) {
        return Ok(values.shallow_clone());
    }
    let mut by_shape = vec![scales, ratios, size[0] / (scales * ratios)];
    by_shape.extend(&size[1..]);
    values.f_reshape(by_shape)?.f_transpose(0, 1)?.f_reshape(size)
}

#[cfg(test)]
mod tests {
    use imbalance_vision::weights::{ClassifierWeights, LoadOptions, load_weights};
    use tch::nn::VarStore;
    use tch::{Device, Kind};

    use super::*;
    use crate::model::{RetinaNet, RetinaNetConfig};

    /// Detectron2's name for each of torchvision's, written down the other way.
    fn detectron_name(name: &str) -> String {
        let name = name
            .replace("head.classification_head.cls_logits", "head.cls_score")
            .replace("head.regression_head.bbox_reg", "head.bbox_pred")
            .replace("backbone.fpn.extra_blocks", "backbone.top_block")
            .replace(".downsample.0.", ".shortcut.")
            .replace(".downsample.1.", ".shortcut.norm.");
        let mut parts: Vec<String> = name.split('.').map(str::to_owned).collect();
        if name.contains("_head.conv.") {
            let subnet = if name.contains("classification") { "cls_subnet" } else { "bbox_subnet" };
            let place: usize = parts[3].parse().unwrap();
            return format!("head.{subnet}.{}.{}", 2 * place, parts[5]);
        }
        if name.contains("_blocks.") {
            let which = if parts[2] == "inner_blocks" { "lateral" } else { "output" };
            let level: usize = parts[3].parse().unwrap();
            return format!("backbone.fpn_{which}{}.{}", level + 3, parts[5]);
        }
        let Some(rest) = name.strip_prefix("backbone.body.") else { return name };
        parts.drain(..2);
        if let Some(number) = parts[0].strip_prefix("layer") {
            parts[0] = format!("res{}", number.parse::<usize>().unwrap() + 1);
        } else {
            parts.insert(0, "stem".to_owned());
        }
        assert!(!rest.is_empty());
        let parts = parts.iter().flat_map(|part| match part.strip_prefix("bn") {
            Some(number) => vec![format!("conv{number}"), "norm".to_owned()],
            None => vec![part.clone()],
        });
        format!("backbone.bottom_up.{}", parts.collect::<Vec<_>>().join("."))
    }

    #[test]
    fn a_whole_detector_in_their_layout_is_loaded() {
        let config = RetinaNetConfig { classes: 2, channels: 8, tower: 2, ..RetinaNetConfig::default() };
        let store = VarStore::new(Device::Cpu);
        let network = RetinaNet::new(&store, config.clone(), 3).unwrap();
        let (scales, ratios) = (3, 3);
        // Their file: our values under their names, the shapes in their order.
        let theirs: Vec<(String, Tensor)> = store
            .variables()
            .into_iter()
            .map(|(name, values)| {
                let shaped = name.contains("cls_logits") || name.contains("bbox_reg");
                let values = if shaped { ratio_by_ratio(&values, ratios, scales).unwrap() } else { values };
                (format!("model.{}", detectron_name(&name)), values.detach().contiguous())
            })
            .chain([("pixel_mean".to_owned(), Tensor::ones([3, 1, 1], (Kind::Float, Device::Cpu)))])
            .collect();
        let names: Vec<&str> = theirs.iter().map(|(name, _)| name.as_str()).collect();
        for name in [
            "model.backbone.bottom_up.stem.conv1.norm.running_var",
            "model.backbone.bottom_up.res4.5.conv3.weight",
            "model.backbone.bottom_up.res2.0.shortcut.norm.bias",
            "model.backbone.fpn_lateral5.weight",
            "model.backbone.top_block.p7.bias",
            "model.head.cls_subnet.2.weight",
            "model.head.bbox_pred.weight",
        ] {
            assert!(names.contains(&name), "{name}");
        }
        let file = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap();
        Tensor::write_safetensors(&theirs, file.path()).unwrap();

        let other = VarStore::new(Device::Cpu);
        let _network = RetinaNet::new(&other, config, 4).unwrap();
        let translate = |file| translated(file, scales, ratios);
        let options = LoadOptions {
            strict: true,
            classifier: ClassifierWeights::Load,
            other_name: None,
            translate: Some(&translate),
        };
        load_weights(file.path(), &other, &options).unwrap();
        let expected = store.variables();
        for (name, values) in other.variables() {
            assert_eq!(values, expected[&name], "{name}");
        }
        drop(network);
    }

    #[test]
    fn the_order_of_shapes_by_hand() {
        // Two scales of three ratios, one class: their channel 1 is scale 0 with ratio 1, our third.
        let theirs = Tensor::from_slice(&[0i64, 1, 2, 10, 11, 12]);
        let ours: Vec<i64> = Vec::try_from(ratio_by_ratio(&theirs, 2, 3).unwrap()).unwrap();
        assert_eq!(ours, [0, 10, 1, 11, 2, 12]);
    }
}
