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
// Beside the folders of the slides lie the tables of a run: cohort.csv, failures.csv and run.json, see
// [WriteCohort]. Several processes may write there, and no stage keeps them apart: each table is written
// under a name of its own, so it is whole, and the last one's stays.
//
// All writing goes through a [FileSystem], so that a test can let any operation of a run fail; package
// sinktest has one that does.
//
// # Recovery
//
// What is durable of a slide in work is its [Journal], the labels of level 0 as they were committed; the
// rest is made from them again. The order of a run is:
//
//  1. the lock, with its owner in it, synced;
//  2. the journal's header, synced, and the folder;
//  3. for each tile: the journal, then the pyramid. A sync every 16 MiB of journal or 10 s, whichever is first;
//  4. mask.tif and the other files, each written, synced and renamed within the stage;
//  5. [Stage.Publish]: the earlier summary.json goes, the files get their final names, summary.json last, and
//     the folder is synced;
//  6. journal, stage and lock go.
//
// A process killed before the end of 5 leaves the journal, and [ResumeStage] goes on from it: the same tiles in
// the same order, so the same bytes. One killed later leaves a stage that [Sweep] takes away.
// The half-written mask is not used: that would take syncs, checksums and a way back for each format, to save
// a file of 7 MB for 100 megapixels of nuclei (S2; mask.tif itself is 3 to 10 MB). Until the end of a
// slide both are on disk. A processor appends 1,380 megapixels a second, and writes 250 of pyramid and
// mask.tif (LZW): the journal adds 18 % to the writing of masks, which is next to nothing beside a network.
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
