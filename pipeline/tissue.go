package pipeline

import (
	"context"
	"fmt"
	"image"
	"strings"

	"microtome/sink"
	"microtome/slide/tissue"
	"microtome/stages"
)

// Values of Config.Tissue beside the path of a file.
const (
	TissueAuto = "auto"
	TissueOff  = "off"
)

// slideName is what stands for a slide's name in Config.Tissue.
const slideName = "{name}"

// findTissue finds out which part of the region the network is to be asked about.
func (p *Pipeline) findTissue(ctx context.Context, s *subject) (err error) {
	switch source := s.tissueSource(p.Config); {
	case source == TissueOff:
		s.tissue = tissue.Everything(s.view)
	case source == TissueAuto:
		s.tissue, err = tissue.Find(ctx, s.view, p.tissueConfig(s.item))
	case isGeoJSON(source):
		s.tissue, err = tissue.FromGeoJSON(source, s.view)
	default:
		s.tissue, err = tissue.FromMask(ctx, source, s.view)
	}
	if err != nil {
		return err
	}
	for _, m := range []tissue.Measure{s.tissue.Found, s.tissue.Focus, s.tissue.Stain, s.tissue.Pen} {
		if m.Warning != "" {
			s.warn("%s", m.Warning)
		}
	}
	s.scope = stages.NewScope(s.plan.Region, s.tissue.Touches)
	return nil
}

func (p *Pipeline) tissueConfig(item Item) tissue.Config {
	c := tissue.NewDefaultConfig()
	c.Margin, c.Recall, c.MPP = p.Config.TissueMargin, p.Config.TissueRecall, p.mpp(item)
	return c
}

// tissueSource returns auto, off, or the file that says what is tissue on this slide. Tiles that are blended all need their
// neighbours.
func (s *subject) tissueSource(c Config) string {
	if c.Overlap > 0 {
		return TissueOff
	}
	return strings.ReplaceAll(c.Tissue, slideName, resultName(s.path))
}

func isGeoJSON(path string) bool {
	path = strings.TrimSuffix(strings.ToLower(path), ".gz")
	return strings.HasSuffix(path, ".geojson") || strings.HasSuffix(path, ".json")
}

// tissueKey is all that the choice of tissue depends on, beside the slide.
func (s *subject) tissueKey(c Config) (string, error) {
	switch source := s.tissueSource(c); source {
	case TissueOff:
		return source, nil
	case TissueAuto:
		return fmt.Sprintf("auto, recall %v, margin %g µm", c.TissueRecall, c.TissueMargin), nil
	default:
		d, err := sink.Describe(source)
		return "file " + d.SHA256, err
	}
}

// outline returns the outline of the tissue for a picture of the region, nil where nobody has looked.
func (s *subject) outline(c Config, size image.Point) *image.Alpha {
	if s.tissueSource(c) == TissueOff {
		return nil
	}
	return s.tissue.Outline(s.plan.Region, size)
}

// tissueSummary says what was found.
func (s *subject) tissueSummary(c Config) (t sink.TissueSummary, err error) {
	source := s.tissueSource(c)
	t = sink.TissueSummary{
		Source: source, Field: s.tissue.Field.String(), Found: s.tissue.Found.Value,
		Focus: sink.Measure(s.tissue.Focus), Stain: sink.Measure(s.tissue.Stain), Pen: sink.Measure(s.tissue.Pen),
	}
	switch source {
	case TissueOff:
	case TissueAuto:
		t.Recall, t.MarginUM = c.TissueRecall.String(), c.TissueMargin
	default:
		var d sink.Output
		d, err = sink.Describe(source)
		t.SHA256 = d.SHA256
	}
	return t, err
}

// keptTissue is the tissueKey of results that are there.
func keptTissue(t sink.TissueSummary) string {
	switch t.Source {
	case TissueOff, "": // earlier versions looked everywhere
		return TissueOff
	case TissueAuto:
		return fmt.Sprintf("auto, recall %s, margin %g µm", t.Recall, t.MarginUM)
	}
	return "file " + t.SHA256
}
