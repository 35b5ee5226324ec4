"""The paper's tables again: a sweep or a model, measured on a suite, beside the printed numbers and what they claim."""
