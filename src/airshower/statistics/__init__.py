"""Statistics of arrays, and in `counts` of tensors of counts that add up over ranks."""
