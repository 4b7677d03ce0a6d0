// Package tissue finds out where on a slide there is tissue, so that nobody computes on glass.
//
//	v, err := s.AtMPP(0.5, 0)
//	t, err := tissue.Find(ctx, v, tissue.NewDefaultConfig())
//	t.Touches(tile.Core)   // in pixels of v
//
// [Find] looks at the whole slide at about 8 µm a cell. In bright field, tissue is denser or more tinted
// than the glass of the same slide; in dark field (fluorescence) it is lighter than the ground. Otsu's
// thresholds say by how much, within limits: a slide that is all glass, or all tissue, has no two classes
// to split. Pen marks and what was not scanned are left out; what is smaller than a nucleus is dropped, small holes are filled.
//
// It errs on the side of tissue. What is found grows by a margin, every step from cells to pixels rounds
// outward, ink on tissue stays tissue, and where there is no glass to compare with, or a slide could be
// bright or dark field, more counts as tissue rather than less.
//
// [FromGeoJSON] and [FromMask] take somebody's word for it, and [Everything] leaves nothing out.
package tissue
