package kudari.report;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import kudari.report.Comparison.Point;
import kudari.report.Comparison.PrecisionRuns;
import kudari.report.Comparison.Training;
import kudari.report.Comparison.Trajectory;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.XYStyler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** The pictures as PNGs, at twice the size they are meant to be seen in, so that they stay sharp where they are pasted. */
final class PngCharts {

    private static final int SCALE = 2,
            WIDTH = 1200,
            PANELS_PER_ROW = 3,
            PANEL_HEIGHT = 290,
            HEADING = 64,
            CAPTION = 24,
            SMALL_PANELS_PER_ROW = 5,
            SMALL_PANEL_HEIGHT = 200,
            CHART_HEIGHT = 640,
            LINE = 20;

    /** So many curves are told apart by their colours. */
    private static final int MOST_TOGETHER = 8;

    private static final int SMOOTHING = 51;
    private static final double HAIR = 1e-3;
    private static final Color INK = new Color(0x222222),
            GREY = new Color(0x6B6B6B),
            FAINT = new Color(0xE4E4E4),
            RING = new Color(0xCCC8C0);

    static {
        // A window system is no use here, and one that cannot be reached would be in the way.
        if (System.getProperty("java.awt.headless") == null) System.setProperty("java.awt.headless", "true");
    }

    private PngCharts() {}

    /** Throws if XChart is not there. */
    static void checkDependency() {
        try {
            Class.forName("org.knowm.xchart.XYChart", false, PngCharts.class.getClassLoader());
        } catch (ClassNotFoundException e) {
            throw new UnsupportedOperationException(
                    "a report needs org.knowm.xchart:xchart:4.0.3 on the class path", e);
        }
    }

    /** The machine cannot draw text. */
    static final class NoFonts extends IOException {
        private static final long serialVersionUID = 1;

        NoFonts(Throwable cause) {
            super(
                    cause instanceof LinkageError
                            ? "Java cannot load a library that it draws text with: " + cause.getMessage()
                            : "Java finds no fonts on this machine",
                    cause);
        }
    }

    /** The path of each rule over the contours of f on the first device, a panel each; empty if there is none. */
    static byte[] paths(Comparison comparison) throws IOException {
        List<Trajectory> all = comparison.trajectories();
        if (all.isEmpty()) return new byte[0];
        String device = all.get(0).device();
        Map<String, String> colours = comparison.colours();
        List<Panel> panels = all.stream()
                .filter(path -> path.device().equals(device))
                .map(path -> new Panel(path.rule(), path.settings(), panel(path, colours.get(path.rule()))))
                .toList();
        return panels("f(x, y) = x²/20 + y²", "", panels, List.of());
    }

    /** A small chart, with what stands over it. */
    private record Panel(String rule, String words, XYChart chart) {}

    /** Small charts side by side, smaller where there are many, with words over them and sentences under them. */
    private static byte[] panels(String title, String words, List<Panel> panels, List<String> notes)
            throws IOException {
        boolean many = panels.size() > PANELS_PER_ROW * PANELS_PER_ROW;
        int perRow = many ? SMALL_PANELS_PER_ROW : PANELS_PER_ROW, height = many ? SMALL_PANEL_HEIGHT : PANEL_HEIGHT;
        int columns = Math.min(perRow, panels.size()), rows = (panels.size() + columns - 1) / columns;
        int width = WIDTH / perRow, bottom = HEADING + rows * height;
        return png(columns * width, bottom + height(notes), g -> {
            g.setColor(INK);
            g.setFont(font(Font.BOLD, 17));
            g.drawString(title, 20, 36);
            g.setFont(font(Font.PLAIN, 13));
            g.drawString(words, 20, 57);
            for (int n = 0; n < panels.size(); n++) {
                Graphics2D panel = (Graphics2D) g.create();
                panel.translate(n % columns * width, HEADING + n / columns * height);
                heading(panel, panels.get(n), many ? 13 : 15);
                panel.translate(0, CAPTION);
                panels.get(n).chart().paint(panel, width, height - CAPTION);
                panel.dispose();
            }
            draw(g, notes, bottom + 4);
        });
    }

    private static void heading(Graphics2D g, Panel panel, int size) {
        g.setFont(font(Font.BOLD, size));
        g.drawString(panel.rule(), 44, 18);
        int indent = 54 + g.getFontMetrics().stringWidth(panel.rule());
        g.setFont(font(Font.PLAIN, size));
        g.setColor(GREY);
        g.drawString(panel.words(), indent, 18);
    }

    private static int height(List<String> notes) {
        return notes.isEmpty() ? 0 : LINE * notes.size() + 10;
    }

    private static void draw(Graphics2D g, List<String> notes, int top) {
        g.setColor(GREY);
        g.setFont(font(Font.PLAIN, 13));
        for (int n = 0; n < notes.size(); n++) g.drawString(notes.get(n), 24, top + 8 + LINE * n);
    }

    private static XYChart panel(Trajectory trajectory, String colour) {
        XYChart chart = new XYChartBuilder().build();
        style(chart)
                .setPlotGridLinesVisible(false)
                .setXAxisMin(-8 - HAIR) // XChart has no ticks at the very ends of an axis
                .setXAxisMax(8 + HAIR)
                .setYAxisMin(-3 - HAIR)
                .setYAxisMax(3 + HAIR)
                .setLegendVisible(false);
        // f = c is an ellipse with the half axes √(20c) and √c; steps of ½ in √c put the rings at equal distances.
        for (double root = 0.5; root <= 3; root += 0.5) {
            double[] x = new double[121], y = new double[121];
            for (int i = 0; i < x.length; i++) {
                double angle = 2 * Math.PI * i / (x.length - 1);
                x[i] = root * Math.sqrt(20) * Math.cos(angle);
                y[i] = root * Math.sin(angle);
            }
            line(chart, "contour " + root, x, y, RING, 1);
        }
        line(chart, "minimum", new double[] {0}, new double[] {0}, INK, 0).setMarker(SeriesMarkers.CROSS);
        List<Point> points = trajectory.points();
        double[] x = points.stream().mapToDouble(Point::x).toArray();
        double[] y = points.stream().mapToDouble(Point::y).toArray();
        line(chart, trajectory.rule(), x, y, Color.decode(colour), 2).setMarker(SeriesMarkers.CIRCLE);
        return chart;
    }

    /**
     * The loss of each rule on a logarithmic scale: every step faint, and over it the median of those around each. Dashed where it is not the
     * first device's. More rules than eyes can tell apart get a small chart each, over the others in grey. Empty if there is nothing to draw. What
     * does not fit is said under the chart.
     */
    static byte[] training(Comparison comparison) throws IOException {
        List<Curve> curves = comparison.trainings().stream()
                .filter(training -> training.losses().stream().anyMatch(PngCharts::isDrawable))
                .map(training -> Curve.of(training, comparison))
                .toList();
        if (curves.isEmpty()) return new byte[0];
        Frame frame = Frame.around(curves);
        List<String> notes =
                cutOff(comparison.trainings(), Math.pow(10, frame.bottom), Math.pow(10, frame.top)).stream()
                        .flatMap(PngCharts::lines)
                        .toList();
        String median = "the median of the " + SMOOTHING + " steps around each, and faintly every step"
                + strokes(comparison.devices());
        List<String> rules = curves.stream().map(Curve::rule).distinct().toList();
        if (rules.size() <= MOST_TOGETHER) {
            XYChart chart = together("Training loss: " + median, curves, frame);
            return png(WIDTH, CHART_HEIGHT + height(notes), g -> {
                chart.paint(g, WIDTH, CHART_HEIGHT);
                draw(g, notes, CHART_HEIGHT);
            });
        }
        List<Panel> panels = rules.stream()
                .map(rule -> new Panel(rule, finalLoss(rule, curves), apart(rule, curves, frame)))
                .toList();
        String words = "In colour: " + median + "; in grey: the other rules. Beside each name: its final loss.";
        return panels("Training loss", words, panels, notes);
    }

    /**
     * The mean over the seeds of each precision's loss, smoothed as the rules' are, on a logarithmic scale; float32's spread, from its lowest seed to its
     * highest, is a band behind. Empty if no precisions were compared.
     */
    static byte[] precision(Comparison comparison) throws IOException {
        List<PrecisionRuns> precisions = comparison.precisions();
        if (precisions.isEmpty()) return new byte[0];
        XYChart chart = new XYChartBuilder()
                .title("Training loss: the median of the " + SMOOTHING + " steps around each, the mean over "
                        + precisions.get(0).trainings().size() + " seeds")
                .xAxisTitle("step")
                .build();
        double[] lowest = ofSeeds(precisions.get(0), DoubleStream::min),
                highest = ofSeeds(precisions.get(0), DoubleStream::max);
        int count = lowest.length;
        double[] x = new double[2 * count], y = new double[2 * count];
        for (int n = 0; n < count; n++) {
            x[n] = x[2 * count - 1 - n] = n + 1;
            y[n] = lowest[n];
            y[2 * count - 1 - n] = highest[n];
        }
        double low = Double.MAX_VALUE, high = -Double.MAX_VALUE;
        // Java's polygons have no gaps.
        if (count > 0 && DoubleStream.of(y).allMatch(Double::isFinite)) {
            Color band = tint(Color.decode(ChartColors.ofPrecision(0)));
            line(chart, precisions.get(0).name() + ", lowest to highest", x, y, band, 0)
                    .setXYSeriesRenderStyle(XYSeries.XYSeriesRenderStyle.PolygonArea)
                    .setFillColor(band);
            low = DoubleStream.of(y).min().getAsDouble();
            high = DoubleStream.of(y).max().getAsDouble();
        }
        for (int n = 0; n < precisions.size(); n++) {
            double[] means = ofSeeds(precisions.get(n), DoubleStream::average);
            for (double mean : means) {
                if (Double.isNaN(mean)) continue;
                low = Math.min(low, mean);
                high = Math.max(high, mean);
            }
            line(chart, precisions.get(n).name(), steps(means), means, Color.decode(ChartColors.ofPrecision(n)), 2);
        }
        if (low > high) return new byte[0]; // nothing but NaN
        new Frame(count, (int) Math.floor(low), (int) Math.max(Math.floor(low) + 1, Math.ceil(high)))
                .style(chart, CHART_HEIGHT)
                .setXAxisTickMarkSpacingHint(150)
                .setLegendPosition(LegendPosition.OutsideE);
        return png(WIDTH, CHART_HEIGHT, g -> chart.paint(g, WIDTH, CHART_HEIGHT));
    }

    /** The logarithms of what a function makes of the smoothed losses that the seeds have at each step. */
    private static double[] ofSeeds(PrecisionRuns runs, Function<DoubleStream, OptionalDouble> function) {
        List<double[]> medians = runs.trainings().stream()
                .map(training -> medians(training.losses(), SMOOTHING))
                .toList();
        return logarithms(IntStream.range(0, medians.get(0).length)
                .mapToDouble(step -> function.apply(medians.stream().mapToDouble(each -> each[step]))
                        .orElseThrow())
                .toArray());
    }

    /** A training's losses as they are drawn. */
    private record Curve(Training training, boolean first, Color colour, double[] medians) {

        static Curve of(Training training, Comparison comparison) {
            return new Curve(
                    training,
                    training.device().equals(comparison.devices().get(0)),
                    Color.decode(comparison.colours().get(training.rule())),
                    PngCharts.medians(training.losses(), SMOOTHING));
        }

        String rule() {
            return training.rule();
        }

        String name() {
            return first ? rule() : rule() + ", " + training.device();
        }

        void drawEveryStep(XYChart chart) {
            double[] every = training.losses().stream().mapToDouble(x -> x).toArray();
            line(chart, "every step, " + name(), steps(every), logarithms(every), tint(colour), 0.6f)
                    .setShowInLegend(false);
        }

        void draw(XYChart chart) {
            double[] y = logarithms(medians);
            line(chart, name(), steps(y), first ? y : dashed(y), colour, 2).setShowInLegend(first);
        }

        /** In as few points as a small chart shows. */
        void drawInGrey(XYChart chart) {
            int every = 1 + medians.length / 300;
            int[] kept = IntStream.range(0, medians.length)
                    .filter(i -> i % every == 0)
                    .toArray();
            double[] x = IntStream.of(kept).mapToDouble(i -> i + 1).toArray();
            double[] y = IntStream.of(kept).mapToDouble(i -> medians[i]).toArray();
            line(chart, "grey, " + name(), x, logarithms(y), RING, 0.6f);
        }
    }

    /** The bounds of the charts: steps, and powers of ten. */
    private record Frame(int steps, int bottom, int top) {

        /** Whole decades around the medians, but for a rule that goes up for good: it must not squash the others. */
        static Frame around(List<Curve> curves) {
            int steps = 0;
            double low = Double.MAX_VALUE, high = 0, start = 0;
            for (Curve curve : curves) {
                steps = Math.max(steps, curve.medians.length);
                double[] drawable = DoubleStream.of(curve.medians)
                        .filter(PngCharts::isDrawable)
                        .toArray();
                for (double loss : drawable) {
                    low = Math.min(low, loss);
                    high = Math.max(high, loss);
                }
                if (drawable.length > 0) start = Math.max(start, drawable[0]);
            }
            int bottom = (int) Math.floor(Math.log10(Math.max(low, 1e-7)));
            return new Frame(
                    steps, bottom, Math.max(bottom + 1, (int) Math.ceil(Math.log10(Math.min(high, 10 * start)))));
        }

        /** The axis is that of the logarithm, for XChart leaves out decades of a logarithmic one. */
        XYStyler style(XYChart chart, int height) {
            XYStyler style = PngCharts.style(chart);
            style.setYAxisMin(bottom - HAIR * (top - bottom)) // XChart has no ticks at the very ends of an axis
                    .setYAxisMax(top + HAIR * (top - bottom))
                    .setXAxisMin(-HAIR * steps)
                    .setXAxisMax((1 + HAIR) * steps);
            style.setYAxisTickMarkSpacingHint((int) (0.8 * height / (top - bottom)))
                    .setYAxisTickLabelsFormattingFunction(PngCharts::decade);
            return style;
        }
    }

    private static XYChart together(String title, List<Curve> curves, Frame frame) {
        XYChart chart = new XYChartBuilder().title(title).xAxisTitle("step").build();
        curves.stream().filter(Curve::first).forEach(curve -> curve.drawEveryStep(chart));
        curves.forEach(curve -> curve.draw(chart));
        frame.style(chart, CHART_HEIGHT).setXAxisTickMarkSpacingHint(150).setLegendPosition(LegendPosition.OutsideE);
        return chart;
    }

    private static XYChart apart(String rule, List<Curve> curves, Frame frame) {
        XYChart chart = new XYChartBuilder().build();
        List<Curve> own =
                curves.stream().filter(curve -> curve.rule().equals(rule)).toList();
        own.stream().filter(Curve::first).forEach(curve -> curve.drawEveryStep(chart));
        curves.stream().filter(curve -> curve.first && !own.contains(curve)).forEach(curve -> curve.drawInGrey(chart));
        own.forEach(curve -> curve.draw(chart));
        frame.style(chart, SMALL_PANEL_HEIGHT - CAPTION)
                .setXAxisTickMarkSpacingHint(80)
                .setLegendVisible(false);
        return chart;
    }

    private static String finalLoss(String rule, List<Curve> curves) {
        return curves.stream()
                .filter(curve -> curve.rule().equals(rule))
                .mapToDouble(curve -> curve.training.finalLoss())
                .mapToObj(loss -> Double.isFinite(loss) ? String.format(Locale.ROOT, "%.3g", loss) : "diverged")
                .distinct()
                .collect(Collectors.joining(", "));
    }

    /** Whose lines are solid and whose are dashed, where there is more than one device. */
    private static String strokes(List<String> devices) {
        if (devices.size() < 2) return "";
        return "; solid: " + devices.get(0) + ", dashed: " + String.join(", ", devices.subList(1, devices.size()));
    }

    private static double[] steps(double[] losses) {
        return IntStream.rangeClosed(1, losses.length).asDoubleStream().toArray();
    }

    /** The decimal logarithms; NaN, which is a gap in the line, where there is none. */
    private static double[] logarithms(double[] losses) {
        return DoubleStream.of(losses)
                .map(loss -> isDrawable(loss) ? Math.log10(loss) : Double.NaN)
                .toArray();
    }

    /** Gaps for a dashed line: XChart begins its own dashes anew at each point, so that none is seen where the points are close. */
    private static double[] dashed(double[] y) {
        int period = Math.max(5, y.length / 80);
        return IntStream.range(0, y.length)
                .mapToDouble(i -> i % period < 0.6 * period ? y[i] : Double.NaN)
                .toArray();
    }

    /** The label of 10 to this power. Between the decades too, where XChart tries labels that it does not show, and wants no two alike. */
    private static String decade(double exponent) {
        if (exponent != Math.rint(exponent)) return String.format(Locale.ROOT, "%.2g", Math.pow(10, exponent));
        if (exponent < -4) return "1e" + (int) exponent;
        return BigDecimal.ONE.scaleByPowerOfTen((int) exponent).toPlainString();
    }

    /**
     * The median of the steps around each one: of the window, or of as many before it as there are and at most as many after it, so that
     * the first is itself. Not the mean, which one step of a loss of 400 among 51 of 2 would raise to 10 for as long as it is in the window: a
     * block with two vertical walls, where 50 steps saw nothing of the kind.
     *
     * @param window an odd number of steps
     * @return NaN where the step's own loss is not finite; such losses are not among those that a median is taken of
     */
    static double[] medians(List<Float> losses, int window) {
        double[] medians = new double[losses.size()];
        for (int i = 0; i < medians.length; i++) {
            int reach = Math.min(window / 2, i);
            double[] near = losses.subList(i - reach, Math.min(medians.length, i + reach + 1)).stream()
                    .filter(Float::isFinite)
                    .mapToDouble(x -> x)
                    .sorted()
                    .toArray();
            int n = near.length;
            medians[i] = Float.isFinite(losses.get(i)) ? (near[(n - 1) / 2] + near[n / 2]) / 2 : Double.NaN;
        }
        return medians;
    }

    /** In words, what of the losses is not on a chart between these bounds: a sentence each for above, below, and what is no number. */
    static List<String> cutOff(List<Training> trainings, double bottom, double top) {
        boolean several = trainings.stream().map(Training::device).distinct().count() > 1;
        List<String> above = new ArrayList<>(), below = new ArrayList<>(), none = new ArrayList<>();
        for (Training training : trainings) {
            List<Float> losses = training.losses();
            String name = training.rule() + (several ? " on " + training.device() : "");
            List<Float> high = where(losses, x -> x > top && Float.isFinite(x));
            List<Float> low = where(losses, x -> x < bottom && Float.isFinite(x));
            List<Float> lost = where(losses, x -> !Float.isFinite(x));
            if (!high.isEmpty()) above.add(name + in(high) + ", up to " + at(losses, Collections.max(high)));
            if (!low.isEmpty()) below.add(name + in(low) + ", down to " + at(losses, Collections.min(low)));
            if (!lost.isEmpty()) none.add(name + in(lost) + ", first at step " + (losses.indexOf(lost.get(0)) + 1));
        }
        List<String> sentences = new ArrayList<>();
        if (!above.isEmpty()) sentences.add("Above the chart: " + String.join("; ", above) + ".");
        if (!below.isEmpty()) sentences.add("Below the chart: " + String.join("; ", below) + ".");
        if (!none.isEmpty()) sentences.add("Not a finite number: " + String.join("; ", none) + ".");
        return sentences;
    }

    /** A sentence in lines that fit under the chart. */
    private static Stream<String> lines(String sentence) {
        return Stream.of(sentence.replaceAll("(.{1,150}(?:;|$)) ?", "$1\n").split("\n"));
    }

    private static List<Float> where(List<Float> losses, Predicate<Float> condition) {
        return losses.stream().filter(condition).toList();
    }

    private static String in(List<Float> steps) {
        return String.format(Locale.ROOT, steps.size() == 1 ? " in %,d step" : " in %,d steps", steps.size());
    }

    private static String at(List<Float> losses, float loss) {
        return String.format(Locale.ROOT, "%.3g at step %,d", loss, losses.indexOf(loss) + 1);
    }

    private static boolean isDrawable(double loss) {
        return loss > 0 && loss < Double.POSITIVE_INFINITY;
    }

    /** A fifth of the colour, the rest white. Transparent lines, a thousand of them across each other, would mix to mud. */
    private static Color tint(Color colour) {
        return new Color(tint(colour.getRed()), tint(colour.getGreen()), tint(colour.getBlue()));
    }

    private static int tint(int part) {
        return 255 - (255 - part) / 5;
    }

    private static XYSeries line(XYChart chart, String name, double[] x, double[] y, Color color, float width) {
        XYSeries series = chart.addSeries(name, x, y);
        series.setMarker(SeriesMarkers.NONE).setMarkerColor(color);
        series.setLineColor(color).setLineStyle(new BasicStroke(width, BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND));
        return series;
    }

    private static XYStyler style(XYChart chart) {
        XYStyler style = chart.getStyler();
        style.setLocale(Locale.ENGLISH)
                .setChartBackgroundColor(Color.WHITE)
                .setChartFontColor(INK)
                .setChartTitleFont(font(Font.BOLD, 15))
                .setChartTitleBoxVisible(false)
                .setChartTitlePadding(14)
                .setChartPadding(12)
                .setLegendBorderColor(Color.WHITE)
                .setLegendFont(font(Font.PLAIN, 14))
                .setPlotBorderVisible(false)
                .setPlotContentSize(1)
                .setMarkerSize(5);
        style.setAxisTickLabelsFont(font(Font.PLAIN, 12))
                .setAxisTickLabelsColor(GREY)
                .setAxisTitleFont(font(Font.PLAIN, 13))
                .setAxisTicksMarksVisible(false)
                .setAxisTicksLineVisible(false)
                .setPlotTicksMarksVisible(false)
                .setPlotGridVerticalLinesVisible(false)
                .setPlotGridLinesStroke(new BasicStroke(1))
                .setPlotGridLinesColor(FAINT);
        return style;
    }

    private static Font font(int style, int size) {
        return new Font(Font.SANS_SERIF, style, size);
    }

    private static byte[] png(int width, int height, Consumer<Graphics2D> drawing) throws IOException {
        BufferedImage image = new BufferedImage(SCALE * width, SCALE * height, BufferedImage.TYPE_INT_RGB);
        Graphics2D g = image.createGraphics();
        try {
            checkFonts();
            g.setColor(Color.WHITE);
            g.fillRect(0, 0, image.getWidth(), image.getHeight());
            g.scale(SCALE, SCALE);
            g.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
            g.setRenderingHint(RenderingHints.KEY_STROKE_CONTROL, RenderingHints.VALUE_STROKE_PURE);
            drawing.accept(g);
        } finally {
            g.dispose();
        }
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        ImageIO.write(image, "png", bytes);
        return bytes.toByteArray();
    }

    /** Whatever Java throws where it cannot draw text: that depends on what is missing, and on its version. */
    static void checkFonts() throws NoFonts {
        try {
            new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB).createGraphics().getFontMetrics(font(Font.PLAIN, 12));
        } catch (RuntimeException | LinkageError | InternalError e) {
            throw new NoFonts(e);
        }
    }
}
