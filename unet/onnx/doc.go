// Package onnx reads, edits and writes ONNX files: the graph as it stands, without any knowledge of what
// its operators mean. Field numbers are those of onnx.proto3 in the ONNX specification, IR version 8.
//
//	m, err := onnx.Decode(data)
//	m.Graph.Nodes = append(m.Graph.Nodes, &onnx.Node{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"y"}})
//	data = m.Encode()
//
// Fields that the package does not know travel through Decode and Encode as they are. Tensors share memory with
// the bytes that were decoded, so a large model is not held twice.
package onnx
