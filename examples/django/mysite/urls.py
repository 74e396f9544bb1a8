from django.contrib import admin
from django.http import HttpResponse
from django.urls import path

urlpatterns = [
    path('', lambda request: HttpResponse('Hello from Django\n', content_type='text/plain')),
    path('health', lambda request: HttpResponse('ok\n', content_type='text/plain')),
    path('admin/', admin.site.urls),
]
