package kudari.report;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
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
final class Pictures {

    private static final int SCALE = 2,
            WIDTH = 1200,
            PANELS_PER_ROW = 3,
            PANEL_HEIGHT = 290,
            HEADING = 64,
            CAPTION = 24;
    private static final int SMOOTHING = 51;
    private static final BasicStroke DASHED =
            new BasicStroke(2, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 1, new float[] {7, 6}, 0);
    private static final Color INK = new Color(0x222222),
            GREY = new Color(0x6B6B6B),
            FAINT = new Color(0xE4E4E4),
            RING = new Color(0xCCC8C0);

    static {
        // A window system is no use here, and one that cannot be reached would be in the way.
        if (System.getProperty("java.awt.headless") == null) System.setProperty("java.awt.headless", "true");
    }

    private Pictures() {}

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
                .setXAxisMin(-8.0)
                .setXAxisMax(8.0)
                .setYAxisMin(-3.0)
                .setYAxisMax(3.0)
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
        line(chart, trajectory.rule(), x, y, Color.decode(Palette.of(trajectory.rule())), 2)
                .setMarker(SeriesMarkers.CIRCLE);
        return chart;
    }

    /** The smoothed loss of each rule, on a logarithmic scale, dashed where it is not the first device's; empty if there is none. */
    static byte[] training(List<Training> trainings, List<String> devices) throws IOException {
        List<Training> drawn = trainings.stream()
                .filter(training -> training.losses().stream().anyMatch(Pictures::isDrawable))
                .toList();
        if (drawn.isEmpty()) return new byte[0];
        XYChart chart = new XYChartBuilder()
                .title("Training loss (mean of " + SMOOTHING + " steps" + strokes(devices) + ")")
                .xAxisTitle("step")
                .yAxisTitle("loss")
                .build();
        double low = Double.MAX_VALUE, high = 0, start = 0;
        for (Training training : drawn) {
            double[] y = smooth(training.losses());
            double[] x = IntStream.rangeClosed(1, y.length).asDoubleStream().toArray();
            boolean first = training.device().equals(devices.get(0));
            String name = first ? training.rule() : training.rule() + ", " + training.device();
            XYSeries series = line(chart, name, x, y, Color.decode(Palette.of(training.rule())), 2);
            if (!first) series.setLineStyle(DASHED);
            series.setShowInLegend(first);
            low = Math.min(
                    low, DoubleStream.of(y).filter(Pictures::isDrawable).min().orElseThrow());
            high = Math.max(
                    high, DoubleStream.of(y).filter(Pictures::isDrawable).max().orElseThrow());
            start = Math.max(
                    start,
                    DoubleStream.of(y).filter(Pictures::isDrawable).findFirst().orElseThrow());
        }
        // A point that shows nothing: with equally spaced ones alone, XChart puts its ticks at odd places.
        line(chart, "off the beat", new double[] {0.5}, new double[] {start}, INK, 1)
                .setShowInLegend(false);
        // Whole decades, but for a rule that shoots up at first, or for good: it must not squash the others.
        double floor = Math.pow(10, Math.floor(Math.log10(Math.max(low, 1e-7))));
        double ceiling = Math.pow(10, Math.ceil(Math.log10(Math.min(high, 10 * start))));
        style(chart)
                .setYAxisLogarithmic(true)
                .setYAxisMin(floor)
                .setYAxisMax(Math.max(ceiling, 10 * floor))
                .setXAxisMin(0.0)
                .setXAxisTickMarkSpacingHint(150)
                .setLegendPosition(LegendPosition.OutsideE);
        return png(WIDTH, 640, g -> chart.paint(g, WIDTH, 640));
    }

    /** Whose lines are solid and whose are dashed, where there is more than one device. */
    private static String strokes(List<String> devices) {
        if (devices.size() < 2) return "";
        return "; solid: " + devices.get(0) + ", dashed: " + String.join(", ", devices.subList(1, devices.size()));
    }

    /** The mean of the steps up to each one, of what is there; NaN, which is a gap in the line, where there is nothing to draw. */
    private static double[] smooth(List<Float> losses) {
        double[] means = new double[losses.size()];
        for (int i = 0; i < means.length; i++) {
            List<Float> near = losses.subList(Math.max(0, i - SMOOTHING + 1), i + 1);
            double mean = near.stream()
                    .filter(Float::isFinite)
                    .mapToDouble(x -> x)
                    .average()
                    .orElse(0);
            means[i] = Float.isFinite(losses.get(i)) && mean > 0 ? mean : Double.NaN;
        }
        return means;
    }

    private static boolean isDrawable(double loss) {
        return loss > 0 && loss < Double.POSITIVE_INFINITY;
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
