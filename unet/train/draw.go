package train

import (
	"io"
	"os"
	"path/filepath"
)

// Names of the pictures in the folder of a training run.
const (
	CurvesName   = "curves.png"
	PreviewsName = "previews.png" // of validation
	PreviewName  = "preview.png"  // of training tiles
)

// draw writes the curves so far, and what was found in validation images.
func (r *Run) draw(s *state, views []view) error {
	lines, err := readMetrics(filepath.Join(r.Dir, MetricsName), s.Metrics)
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(r.Dir, CurvesName), func(w io.Writer) error { return drawCurves(w, lines) }); err != nil {
		return err
	}
	return replaceFile(filepath.Join(r.Dir, PreviewsName), func(w io.Writer) error { return drawPreviews(w, views) })
}

// previewRows is how many training tiles a preview shows.
const previewRows = 8

// WritePreview draws training tiles, with their targets and weights, to a file in the folder of the run, and returns its path.
func (r *Run) WritePreview() (path string, err error) {
	if err := os.MkdirAll(r.Dir, 0o777); err != nil {
		return "", advise(err)
	}
	path = filepath.Join(r.Dir, PreviewName)
	return path, replaceFile(path, func(w io.Writer) error { return r.Preview(w, previewRows) })
}
