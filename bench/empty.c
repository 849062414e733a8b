/* SPDX-License-Identifier: MIT */
/* What a preloaded library costs that does nothing: there has to be something in it. */
int fpempty;
