// Package cards reads what stands beside a model in the file formats of its field: the RDF of bioimage.io (rdf.yaml,
// model.yaml; 0.3 to 0.5), config.json of WSInfer, metadata.json of a MONAI bundle. It knows the formats, not the networks.
//
//	path, err := cards.Find("model.onnx") // "" if none is there
//	card, err := cards.Read(path)
package cards
