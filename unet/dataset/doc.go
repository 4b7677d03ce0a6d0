// Package dataset reads what a network learns from: images in which every instance is marked.
//
//	set, err := dataset.Load(ctx, "nuclei/", dataset.NewDefaultConfig())
//	train, validation, err := set.Split(0.2)
//
// # Folders
//
// A folder and its subfolders may hold images in three forms, also side by side.
//
//   - NAME.png and NAME_instances.png: the pixels of instance n have the value n, background has 0. Save
//     16-bit grey; 8 bits do for up to 254 instances.
//   - images/NAME.png and masks/NAME.png: where a mask has 0 and one other value, its 8-connected
//     components are the instances, so those that touch become one; other masks hold numbers as above.
//   - NAME.svs and NAME.geojson, or NAME.svs.geojson, or either with .gz: a slide, in any format that
//     [Config].Open takes, and its annotations as QuPath exports them.
//
// Images are PNG, TIFF or JPEG; instances and masks PNG or TIFF. Grey images count as colour, 16-bit
// colours lose their low byte, what is transparent shows white. Each image needs its instances and the
// other way round, or Load says which file is alone. Slides without annotations, hidden files and files
// of other kinds are passed over. All images are kept in memory.
//
// # Annotated slides
//
// A closed annotation of class Region* says: in here, everything is annotated. Each becomes one image, at
// the resolution of the model; [Image].Outside marks what its rectangle holds besides. All other
// annotations and detections, polygons with or without holes, are instances of their class, cut off
// where the region ends; of those that overlap the smaller lies on top. Where no region is drawn, the box
// around all objects with a margin is taken for one. Classes that end in * are passed over, and so are
// annotations without a class in a file with detections: QuPath's detections lie in such ones. Points and
// lines are errors. Coordinates are pixels of level 0, counted, as in QuPath, from the corner of the
// scanned area.
//
// # index.json
//
// A folder may hold more knowledge in index.json, as a list or by name; where it has none, that of the
// parent folder counts if its paths lead here. Every field but image may be missing.
//
//	[{"image": "a.png", "instances": "a_labels.png", "group": "patient 7", "class": "tumour",
//	  "stain": "H&E", "split": "test", "mpp": 0.25, "min_instance": 12, "weight": 2}]
//	{"a": {"mpp": 0.25}, "b": {"mpp": 0.5}}
//
// group keeps images of one patient on one side of the split, stain has each kind of image on both,
// split decides it outright. mpp is the size of a pixel in µm, of a slide that of level 0. Instances of
// fewer than min_instance pixels become background. weight says how often training draws an image, beside
// the 1 of others.
package dataset
