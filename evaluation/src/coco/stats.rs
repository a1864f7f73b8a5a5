//! The 12 numbers of COCO.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The 12 numbers that COCO scores detections with, each between 0 and 1, or −1 where no ground truth counts for it.
///
/// Average precision (AP) is the mean of the interpolated precision at 101 recalls, over classes and over the IoU thresholds
/// .5, .55, … .95; average recall (AR) that of the highest recall. Objects below 32² pixels are small, above 96² large.
/// Its text ([`Display`](fmt::Display)) is that of pycocotools.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Average precision.
    #[serde(rename = "AP")]
    pub ap: f64,
    /// Average precision at IoU .5.
    #[serde(rename = "AP50")]
    pub ap50: f64,
    /// Average precision at IoU .75.
    #[serde(rename = "AP75")]
    pub ap75: f64,
    /// Average precision of small objects.
    #[serde(rename = "APs")]
    pub ap_small: f64,
    /// Average precision of medium objects.
    #[serde(rename = "APm")]
    pub ap_medium: f64,
    /// Average precision of large objects.
    #[serde(rename = "APl")]
    pub ap_large: f64,
    /// Average recall of the detection of highest score per image and category.
    #[serde(rename = "AR1")]
    pub ar1: f64,
    /// Average recall of 10 detections per image and category.
    #[serde(rename = "AR10")]
    pub ar10: f64,
    /// Average recall of 100 detections per image and category.
    #[serde(rename = "AR100")]
    pub ar100: f64,
    /// Average recall of small objects.
    #[serde(rename = "ARs")]
    pub ar_small: f64,
    /// Average recall of medium objects.
    #[serde(rename = "ARm")]
    pub ar_medium: f64,
    /// Average recall of large objects.
    #[serde(rename = "ARl")]
    pub ar_large: f64,
}

/// IoU, area and detections per image and category of each number.
const ROWS: [(&str, &str, usize); 12] = [
    ("0.50:0.95", "all", 100),
    ("0.50", "all", 100),
    ("0.75", "all", 100),
    ("0.50:0.95", "small", 100),
    ("0.50:0.95", "medium", 100),
    ("0.50:0.95", "large", 100),
    ("0.50:0.95", "all", 1),
    ("0.50:0.95", "all", 10),
    ("0.50:0.95", "all", 100),
    ("0.50:0.95", "small", 100),
    ("0.50:0.95", "medium", 100),
    ("0.50:0.95", "large", 100),
];

impl Stats {
    /// Short names, in the order of [`Stats::values`].
    pub const NAMES: [&'static str; 12] =
        ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"];

    /// The numbers in pycocotools' order.
    pub fn values(&self) -> [f64; 12] {
        [
            self.ap,
            self.ap50,
            self.ap75,
            self.ap_small,
            self.ap_medium,
            self.ap_large,
            self.ar1,
            self.ar10,
            self.ar100,
            self.ar_small,
            self.ar_medium,
            self.ar_large,
        ]
    }

    /// Of the numbers in pycocotools' order.
    pub fn from_values(values: [f64; 12]) -> Self {
        let [ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10, ar100, ar_small, ar_medium, ar_large] = values;
        Self { ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10, ar100, ar_small, ar_medium, ar_large }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, value), (iou, area, detections)) in Self::NAMES.iter().zip(self.values()).zip(ROWS) {
            let title = if name.starts_with("AP") { "Average Precision  (AP)" } else { "Average Recall     (AR)" };
            writeln!(f, " {title} @[ IoU={iou:<9} | area={area:>6} | maxDets={detections:>3} ] = {value:.3}")?;
        }
        Ok(())
    }
}
