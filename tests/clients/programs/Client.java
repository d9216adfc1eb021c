import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.CertificateFactory;
import java.util.HexFormat;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.CountDownLatch;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManagerFactory;

/** Java's own client, java.net.http.WebSocket: see __init__.py. */
class Client implements WebSocket.Listener {
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private final CountDownLatch ended = new CountDownLatch(1);
    private final StringBuilder parts = new StringBuilder();

    public static void main(String[] arguments) throws Exception {
        HttpClient.Builder http = HttpClient.newBuilder();
        if (System.getenv("CLIENT_CA") != null) {
            http.sslContext(trusting(System.getenv("CLIENT_CA")));
        }
        if (System.getenv("CLIENT_TLS") != null) {
            http.sslParameters(new SSLParameters(null, new String[] {"TLSv" + System.getenv("CLIENT_TLS")}));
        }
        Client client = new Client();
        WebSocket socket;
        try {
            socket = http.build().newWebSocketBuilder().buildAsync(URI.create(arguments[0]), client).join();
        } catch (Exception failure) {
            OUT.println("failed " + failure);
            return;
        }
        Thread reader = new Thread(() -> send(socket));
        reader.setDaemon(true);
        reader.start();
        client.ended.await();
        System.exit(0);
    }

    private static void send(WebSocket socket) {
        try {
            BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = input.readLine(); line != null; line = input.readLine()) {
                socket.sendText(line, true).join();
            }
            socket.sendClose(1000, "").join();
        } catch (Exception failure) {
            OUT.println("failed " + failure);
        }
    }

    private static SSLContext trusting(String path) throws Exception {
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        try (FileInputStream file = new FileInputStream(path)) {
            trusted.setCertificateEntry("gateway", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        managers.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, managers.getTrustManagers(), null);
        return context;
    }

    @Override
    public void onOpen(WebSocket socket) {
        OUT.println("open ");
        socket.request(1);
    }

    @Override
    public CompletionStage<?> onText(WebSocket socket, CharSequence part, boolean last) {
        parts.append(part);
        if (last) {
            byte[] bytes = parts.toString().getBytes(StandardCharsets.UTF_8);
            try {
                byte[] digest = MessageDigest.getInstance("SHA-256").digest(bytes);
                String text = bytes.length < 2000 ? parts.toString() : "";
                OUT.println("message " + bytes.length + " " + HexFormat.of().formatHex(digest) + " " + text);
            } catch (Exception failure) {
                OUT.println("failed " + failure);
            }
            parts.setLength(0);
        }
        socket.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
        OUT.println("closed " + code + " " + reason);
        ended.countDown();
        return null;
    }

    @Override
    public void onError(WebSocket socket, Throwable failure) {
        OUT.println("failed " + failure);
        ended.countDown();
    }
}
