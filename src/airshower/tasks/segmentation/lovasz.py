"""The Lovasz softmax loss: intersection over union, made continuous in the probabilities.

Source: Berman, Triki & Blaschko, CVPR 2018 (arXiv:1705.08790), equations 9 and 11 and algorithm 1.
"""

import torch
from torch import Tensor


def lovasz(probability: Tensor, truth: Tensor, image: Tensor, images: int) -> Tensor:
    """1 - IoU of one class in each image, extended to probabilities: [images], zero for an image without pixels.

    `probability` of the class [pixels], whether it is the true one (bool [pixels]), the pixel's image (int64 [pixels]).
    With probabilities of 0 and 1 it is 1 - IoU of these predictions; where the class is absent, the largest
    probability.
    """
    error = torch.where(truth, 1 - probability, probability)
    with torch.no_grad():
        order = (image + 0.5 * (1 - error.double())).argsort()  # image by image, largest errors first
        place = image[order]
        true = truth[order].long()
        pixels = torch.bincount(place, minlength=images)
        first = pixels.cumsum(0) - pixels
        trues = torch.zeros_like(pixels).index_add_(0, place, true)
        seen = true.cumsum(0)
        seen = seen - torch.cat([seen.new_zeros(1), seen])[first][place]
        rank = torch.arange(1, len(place) + 1, device=place.device) - first[place]
        # IoU if the pixels up to this one are wrong and the others right
        intersection, union = trues[place] - seen, trues[place] + rank - seen
        before_intersection, before_union = intersection + true, union - (1 - true)
        gradient = before_intersection / before_union.clamp_min(1).double() - intersection / union.double()
        # before the first pixel of an image without the class, union and intersection are 0 and IoU is 1
        gradient[before_union == 0] = 1.0
        weight = torch.empty_like(error).index_copy_(0, order, gradient.to(error.dtype))
    return error.new_zeros(images).index_add(0, image, error * weight)
