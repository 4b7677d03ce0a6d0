package main

import (
	"encoding/json"
	"image"
	"io"

	"microtome/pipeline"
	"microtome/slide"
	"microtome/unet"
)

// What --json prints of values that are not files' own forms: snake case, sizes in pixels.

func writeJSON(w io.Writer, v map[string]any) error { return json.NewEncoder(w).Encode(v) }

func rectangle(r image.Rectangle) map[string]int {
	return map[string]int{"x": r.Min.X, "y": r.Min.Y, "width": r.Dx(), "height": r.Dy()}
}

func slideJSON(i slide.Info) map[string]any {
	var levels []map[string]any
	for _, l := range i.Levels {
		levels = append(levels, map[string]any{
			"width": l.Size.X, "height": l.Size.Y, "downsample": l.Downsample, "block_width": l.Block.X, "block_height": l.Block.Y,
		})
	}
	return map[string]any{
		"path": i.Path, "loader": i.Loader, "vendor": i.Vendor, "description": i.Description, "mpp": i.MPP, "mpp_x": i.MPPX, "mpp_y": i.MPPY,
		"objective": i.Objective, "bounds": rectangle(i.Bounds), "levels": levels,
	}
}

func modelJSON(s unet.Spec, measured *unet.Measured, checks []unet.Check) map[string]any {
	v := map[string]any{
		"name": s.Name, "classes": s.Classes, "mpp": s.MPP, "stride": s.Stride, "before": s.Before, "after": s.After, "channels": s.Channels,
		"input": s.Input, "bytes": s.Size, "sha256": s.SHA256, "engine": s.Engine, "passed_over": s.PassedOver, "card": s.Card, "card_file": s.Source, "takes": s.Takes, "gives": s.Gives,
		"per_slide": s.PerSlide, "parameters": s.Parameters, "flop_per_pixel": s.FLOP, "unbounded": s.Unbounded, "warnings": s.Warnings,
	}
	if m := measured; m != nil {
		v["measured"] = map[string]any{"left": m.Left, "top": m.Top, "right": m.Right, "bottom": m.Bottom, "differ": m.Differ, "compared": m.Compared, "deviation": m.Deviation}
	}
	if checks != nil {
		var all []map[string]any
		for _, c := range checks {
			all = append(all, map[string]any{
				"input": c.Input, "output": c.Output, "values": c.Values, "deviation": c.Deviation, "limit": c.Limit, "passed": c.Passed(), "cause": c.Cause,
			})
		}
		v["checks"] = all
	}
	return v
}

func planJSON(p pipeline.Plan) map[string]any {
	var memory []map[string]any
	for _, n := range p.Memory {
		memory = append(memory, map[string]any{"for": n.For, "bytes": n.Bytes})
	}
	return map[string]any{
		"slide": p.Slide, "width": p.Size.X, "height": p.Size.Y, "region": rectangle(p.Region), "level": p.Level, "scale": p.Scale, "mpp": p.MPP,
		"core": p.Core, "overlap": p.Overlap, "halo": p.Halo, "tiles": p.Tiles, "tiles_inferred": p.Asked, "workers": p.Workers, "readers": p.Readers, "memory": memory, "sum": p.Sum(), "limit": p.Limit,
	}
}

func verificationJSON(v *pipeline.Verification, model unet.Spec, against unet.Engine) map[string]any {
	difference := func(d pipeline.Difference) map[string]any {
		return map[string]any{"pixels": d.Pixels, "logits_differ": d.Logits, "labels_differ": d.Labels, "max_difference": d.Max, "largest_logit": d.Largest}
	}
	var crops []map[string]any
	for _, c := range v.Crops {
		m := difference(c.Difference)
		m["place"], m["rect"], m["tiles"] = c.Place, rectangle(c.Rect), c.Tiles
		crops = append(crops, m)
	}
	out := map[string]any{
		"slide": v.Slide, "model": model.Name, "sha256": model.SHA256, "engine": model.Engine, "core": v.Core, "edge": v.Edge, "tiles": v.Grid,
		"unbounded": model.Unbounded, "notes": v.Notes, "crops": crops, "total": difference(v.Total()), "passed": v.Check() == nil,
	}
	if against != nil {
		out["against"] = against.Spec().Engine
	}
	return out
}
