// Package sink turns the labels of tiles into files.
//
// A [Pyramid] takes rectangles of level 0 in any order, each pixel exactly once, and builds all levels
// of the pyramid as they come: each tile of each level is handed to the [Container]s once, as soon as
// its last pixel is known, so memory holds only tiles that still wait for a part. [TIFF] is the
// container of mask.tif, a tiled BigTIFF; [Overview] keeps one small level for overlay.png. Several
// containers can be fed at once.
//
// # Files
//
// A file under its final name is whole. It is written in a folder named .partial beside that name,
// synced, and renamed; an error or Abort removes it, and the folder with the last of them. A [Stage] does
// the same for the files of a slide together: they are made there, under a lock, and published at once,
// summary.json last, which says that the rest is there. Until then earlier results stay.
//
// # Memory
//
// What a pyramid keeps is known beforehand: [OpenBytes] bounds the open tiles, [IndexBytes] is the place of
// each tile in the file. 100,000 × 100,000 pixels take 5 MB and 2.5 MB, 10⁶ × 10⁶ take 16 MB and 245 MB.
//
// # Pixels
//
// Labels are 8-bit values. A lower level takes the [Majority] of 2 × 2 labels, a tie goes to the higher
// label, and only pixels inside the image vote at odd edges; probabilities take the [Mean].
package sink
