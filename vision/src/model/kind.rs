//! The architectures.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `--model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum, Serialize, Deserialize)]
pub enum ModelKind {
    /// ResNet-32 for small images (CIFAR), 0.46 million parameters
    #[value(name = "resnet-32")]
    #[serde(rename = "resnet-32")]
    ResNet32,
    /// ResNet-18, 11.7 million parameters
    #[value(name = "resnet-18")]
    #[serde(rename = "resnet-18")]
    ResNet18,
    /// ResNet-50, 25.6 million parameters
    #[value(name = "resnet-50")]
    #[serde(rename = "resnet-50")]
    ResNet50,
    /// ResNeXt-50 32×4d, 25.0 million parameters
    #[value(name = "resnext-50-32x4d")]
    #[serde(rename = "resnext-50-32x4d")]
    ResNeXt50,
}

impl ModelKind {
    /// All architectures.
    pub const ALL: [Self; 4] = [Self::ResNet32, Self::ResNet18, Self::ResNet50, Self::ResNeXt50];

    /// The name that `--model` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::ResNet32 => "resnet-32",
            Self::ResNet18 => "resnet-18",
            Self::ResNet50 => "resnet-50",
            Self::ResNeXt50 => "resnext-50-32x4d",
        }
    }

    /// Width of the features.
    pub fn width(self) -> i64 {
        match self {
            Self::ResNet32 => 64,
            Self::ResNet18 => 512,
            Self::ResNet50 | Self::ResNeXt50 => 2048,
        }
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn flags_files_and_messages_use_one_name() {
        assert_eq!(ModelKind::value_variants(), ModelKind::ALL);
        for kind in ModelKind::ALL {
            assert_eq!(kind.to_possible_value().unwrap().get_name(), kind.name());
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.to_string());
        }
    }
}
