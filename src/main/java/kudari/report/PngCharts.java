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
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import kudari.report.Comparison.Point;
import kudari.report.Comparison.Training;
import kudari.report.Comparison.Trajectory;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.XYStyler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** The two pictures as PNGs, at twice the size they are meant to be seen in, so that they stay sharp where they are pasted. */
final class PngCharts {

    private static final int SCALE = 2,
            WIDTH = 1200,
            PANELS_PER_ROW = 3,
            PANEL_HEIGHT = 290,
            HEADING = 64,
            CAPTION = 24,
            CHART_HEIGHT = 640,
            LINE = 20;
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
    static byte[] paths(List<Trajectory> all) throws IOException {
        if (all.isEmpty()) return new byte[0];
        String device = all.get(0).device();
        List<Trajectory> trajectories =
                all.stream().filter(path -> path.device().equals(device)).toList();
        int columns = Math.min(PANELS_PER_ROW, trajectories.size());
        int rows = (trajectories.size() + columns - 1) / columns;
        int width = WIDTH / PANELS_PER_ROW;
        return png(columns * width, HEADING + rows * PANEL_HEIGHT, g -> {
            g.setColor(INK);
            g.setFont(font(Font.BOLD, 17));
            g.drawString("f(x, y) = x²/20 + y²", 20, 36);
            for (int n = 0; n < trajectories.size(); n++) {
                Graphics2D panel = (Graphics2D) g.create();
                panel.translate(n % columns * width, HEADING + n / columns * PANEL_HEIGHT);
                heading(panel, trajectories.get(n));
                panel.translate(0, CAPTION);
                panel(trajectories.get(n)).paint(panel, width, PANEL_HEIGHT - CAPTION);
                panel.dispose();
            }
        });
    }

    private static void heading(Graphics2D panel, Trajectory trajectory) {
        panel.setFont(font(Font.BOLD, 15));
        panel.drawString(trajectory.rule(), 44, 18);
        int indent = 54 + panel.getFontMetrics().stringWidth(trajectory.rule());
        panel.setFont(font(Font.PLAIN, 15));
        panel.setColor(GREY);
        panel.drawString(trajectory.settings(), indent, 18);
    }

    private static XYChart panel(Trajectory trajectory) {
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
        line(chart, trajectory.rule(), x, y, Color.decode(ChartColors.of(trajectory.rule())), 2)
                .setMarker(SeriesMarkers.CIRCLE);
        return chart;
    }

    /**
     * The loss of each rule on a logarithmic scale: every step faint, and over it the median of those around each. Dashed where it is not
     * the first device's; empty if there is nothing to draw. What does not fit is said under the chart.
     */
    static byte[] training(List<Training> trainings, List<String> devices) throws IOException {
        List<Training> drawn = trainings.stream()
                .filter(training -> training.losses().stream().anyMatch(PngCharts::isDrawable))
                .toList();
        if (drawn.isEmpty()) return new byte[0];
        int steps = drawn.stream()
                .mapToInt(training -> training.losses().size())
                .max()
                .orElseThrow();
        double low = Double.MAX_VALUE, high = 0, start = 0;
        List<double[]> medians = new ArrayList<>();
        for (Training training : drawn) {
            double[] median = medians(training.losses(), SMOOTHING);
            medians.add(median);
            double[] drawable =
                    DoubleStream.of(median).filter(PngCharts::isDrawable).toArray();
            for (double loss : drawable) {
                low = Math.min(low, loss);
                high = Math.max(high, loss);
            }
            if (drawable.length > 0) start = Math.max(start, drawable[0]);
        }
        // Whole decades around the medians, but for a rule that goes up for good: it must not squash the others.
        int bottom = (int) Math.floor(Math.log10(Math.max(low, 1e-7)));
        int top = Math.max(bottom + 1, (int) Math.ceil(Math.log10(Math.min(high, 10 * start))));

        XYChart chart = new XYChartBuilder()
                .title("Training loss: the median of the " + SMOOTHING + " steps around each, and faintly every step"
                        + strokes(devices))
                .xAxisTitle("step")
                .build();
        // The axis is that of the logarithm, for XChart leaves out decades of a logarithmic one.
        for (Training training : drawn) {
            if (!training.device().equals(devices.get(0))) continue;
            Color colour = Color.decode(ChartColors.of(training.rule()));
            Color faint = tint(colour);
            double[] every = training.losses().stream().mapToDouble(x -> x).toArray();
            line(chart, "every step, " + training.rule(), steps(every), logarithms(every), faint, 0.6f)
                    .setShowInLegend(false);
        }
        for (int n = 0; n < drawn.size(); n++) {
            Training training = drawn.get(n);
            boolean first = training.device().equals(devices.get(0));
            String name = first ? training.rule() : training.rule() + ", " + training.device();
            Color colour = Color.decode(ChartColors.of(training.rule()));
            double[] y = logarithms(medians.get(n));
            line(chart, name, steps(y), first ? y : dashed(y), colour, 2).setShowInLegend(first);
        }
        style(chart)
                .setYAxisMin(bottom - HAIR * (top - bottom)) // here as well
                .setYAxisMax(top + HAIR * (top - bottom))
                .setXAxisMin(-HAIR * steps)
                .setXAxisMax((1 + HAIR) * steps)
                .setLegendPosition(LegendPosition.OutsideE);
        chart.getStyler()
                .setYAxisTickMarkSpacingHint((int) (0.8 * CHART_HEIGHT / (top - bottom)))
                .setXAxisTickMarkSpacingHint(150)
                .setYAxisTickLabelsFormattingFunction(PngCharts::decade);
        List<String> notes = cutOff(trainings, Math.pow(10, bottom), Math.pow(10, top)).stream()
                .flatMap(PngCharts::lines)
                .toList();
        return png(WIDTH, CHART_HEIGHT + LINE * notes.size() + (notes.isEmpty() ? 0 : 10), g -> {
            chart.paint(g, WIDTH, CHART_HEIGHT);
            g.setColor(GREY);
            g.setFont(font(Font.PLAIN, 13));
            for (int n = 0; n < notes.size(); n++) g.drawString(notes.get(n), 24, CHART_HEIGHT + 8 + LINE * n);
        });
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
