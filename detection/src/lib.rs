//! RetinaNet (Lin et al., 2017) on COCO-format data, with any loss of the sigmoid head.

pub mod data;
pub mod model;
