//! RetinaNet with a feature pyramid: anchors, matching, box coding, suppression and the network.
