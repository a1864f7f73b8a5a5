//! Images with boxes: annotations, their checks, and batches for training and evaluation.
