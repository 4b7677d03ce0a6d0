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
	source := s.tissueSource(p.Config)
	if _, err := s.tissueKey(p.Config); err != nil { // before: it says what is read
		return err
	}
	switch {
	case source == TissueOff:
		s.tissue = tissue.Everything(s.view)
	case source == TissueAuto:
		s.tissue, err = tissue.Find(ctx, s.view, p.tissueConfig(s.item))
	case isGeoJSON(source):
		s.tissue, err = tissue.FromGeoJSON(source, s.view)
	default:
		s.tissue, err = tissue.FromMask(ctx, source, s.view)
	}
	if err == nil && s.drawn != "" {
		var now sink.Output
		if now, err = sink.Describe(source); err == nil && now.SHA256 != s.drawn {
			err = fmt.Errorf("%s has changed while it was read: run again when it is whole", source)
		}
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
	return TissueSource(c.Tissue, s.path)
}

// TissueSource returns what Config.Tissue comes to for the slide at path, which has no links: auto, off, or a file.
func TissueSource(config, path string) string {
	return strings.ReplaceAll(config, slideName, resultName(path))
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
		if s.drawn == "" {
			d, err := sink.Describe(source)
			if err != nil {
				return "", fmt.Errorf("%w: check the path that --tissue gives", err)
			}
			s.drawn = d.SHA256
		}
		return "file " + s.drawn, nil
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
func (s *subject) tissueSummary(c Config) sink.TissueSummary {
	source := s.tissueSource(c)
	t := sink.TissueSummary{
		SHA256: s.drawn, Source: source, Field: s.tissue.Field.String(), Found: s.tissue.Found.Value,
		Focus: sink.Measure(s.tissue.Focus), Stain: sink.Measure(s.tissue.Stain), Pen: sink.Measure(s.tissue.Pen),
	}
	if source == TissueAuto {
		t.Recall, t.MarginUM = c.TissueRecall.String(), c.TissueMargin
	}
	return t
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
