// Package dataset reads images in which every instance is marked, for training.
package dataset
